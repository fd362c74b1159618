"""Dense layers side by side, as one product: modules of a layer, experts, sets of parameters."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.losses.precision import at_least_float32
from polytask.networks.layers import Dense


class ParallelDense(eqx.Module):
    """`count` layers x W_k + b_k, each drawn as `Dense` draws its own."""

    kernel: Float[Array, "count inputs outputs"]
    bias: Float[Array, "count outputs"]

    def __init__(
        self, count: int, inputs: int, outputs: int, *, key: PRNGKeyArray, scale: float = math.sqrt(2)
    ) -> None:
        layers = [Dense(inputs, outputs, key=own, scale=scale) for own in jax.random.split(key, count)]
        self.kernel = jnp.stack([layer.kernel for layer in layers])
        self.bias = jnp.stack([layer.bias for layer in layers])

    def __call__(self, x: Float[Array, "*count batch inputs"]) -> Float[Array, "count batch outputs"]:
        """Each layer's outputs, of its own rows or, where x has no axis of layers, of the same ones."""
        spec = "bi,kio->kbo" if x.ndim == 2 else "kbi,kio->kbo"
        return jnp.einsum(spec, x, self.kernel) + self.bias[:, None]


def parallel_layers(count: int, sizes: Sequence[int], *, key: PRNGKeyArray) -> tuple[ParallelDense, ...]:
    """Layers from each size to the next, `count` side by side."""
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(ParallelDense(count, m, n, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True))


def softmax_rows(logits: Float[Array, "*batch count"]) -> Float[Array, "*batch count"]:
    """Softmax over the last axis, in float32 at least."""
    return jax.nn.softmax(at_least_float32(logits), axis=-1).astype(logits.dtype)


def mixed(
    weights: Float[Array, "batch to count"], outputs: Float[Array, "count batch width"]
) -> Float[Array, "to batch width"]:
    """Weighted sums of the layers' outputs: sum_k weights[b, t, k] outputs[k, b]."""
    return jnp.einsum("btk,kbw->tbw", weights, outputs)
