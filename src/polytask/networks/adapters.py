"""Changes of low rank to the dense layers of a network that is kept (LoRA, Hu et al. 2021, arXiv 2106.09685)."""

import math
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.convolution import Conv
from polytask.networks.layers import Dense

NetworkT = TypeVar("NetworkT")


class LowRank(eqx.Module):
    """x -> (x down) up. `down` is drawn normal with deviation 1/sqrt(inputs) and `up` is zero, so that it begins as
    nothing; the paper's scale alpha / rank is 1."""

    down: Float[Array, "*members inputs rank"]
    up: Float[Array, "*members rank outputs"]

    def __init__(self, kernel: Float[Array, "*members inputs outputs"], rank: int, *, key: PRNGKeyArray) -> None:
        *members, inputs, outputs = kernel.shape
        self.down = jax.random.normal(key, (*members, inputs, rank), kernel.dtype) / math.sqrt(max(inputs, 1))
        self.up = jnp.zeros((*members, rank, outputs), kernel.dtype)

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        return (x @ self.down) @ self.up


class AdaptedDense(Dense):
    """A dense layer, with the same names for its kernel and bias, and a change of low rank beside it."""

    adapter: LowRank

    def __init__(self, dense: Dense, rank: int, *, key: PRNGKeyArray) -> None:
        self.kernel, self.bias = dense.kernel, dense.bias
        self.adapter = LowRank(dense.kernel, rank, key=key)

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        return super().__call__(x) + self.adapter(x)


def adapted(network: NetworkT, rank: int, *, key: PRNGKeyArray) -> NetworkT:
    """The network with a change of rank `rank` beside every dense layer; convolutions have none.

    It computes what it did before, up to the sign of zeros.
    """
    nodes, structure = jax.tree.flatten(network, is_leaf=lambda node: isinstance(node, Dense | Conv))
    keys = jax.random.split(key, len(nodes))
    changed = [
        AdaptedDense(node, rank, key=own) if isinstance(node, Dense) else node
        for node, own in zip(nodes, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, changed)
