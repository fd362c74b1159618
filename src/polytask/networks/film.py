"""FiLM: the task scales and shifts every layer (Perez et al. 2018, arXiv 1709.07871)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense
from polytask.networks.mlp import check_depth, dense_layers
from polytask.networks.trunk import Trunk, task_or_one


class FiLM(Trunk):
    """A ReLU network of `depth` layers, each x -> ReLU((1 + gamma(z)) * (x W + b) + beta(z)).

    gamma and beta are linear in the task's features and zero at first: it begins as the plain network of the
    observation. The paper modulates convolutional features by a question. Raises ValueError for no layer.
    """

    by_task: ClassVar[bool] = True

    layers: tuple[Dense, ...]
    modulation: Dense

    def __init__(self, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray) -> None:
        check_depth("film", depth)
        key_layers, key_modulation = jax.random.split(key)
        self.layers = dense_layers((inputs, *[width] * depth), key=key_layers)
        modulation = Dense(max(task_features, 1), 2 * width * depth, key=key_modulation)
        self.modulation = eqx.tree_at(lambda dense: dense.kernel, modulation, jnp.zeros_like(modulation.kernel))

    @property
    def width(self) -> int:
        return self.layers[-1].kernel.shape[-1]

    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        modulations = jnp.split(self.modulation(task_or_one(inputs, task_features)), 2 * len(self.layers), axis=-1)
        x = inputs
        for layer, gamma, beta in zip(self.layers, modulations[::2], modulations[1::2], strict=True):
            x = jax.nn.relu((1 + gamma) * layer(x) + beta)
        return x
