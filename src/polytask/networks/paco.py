"""PaCo: a task's parameters are a combination of a few sets (Sun et al., NeurIPS 2022)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense
from polytask.networks.mlp import check_depth
from polytask.networks.parallel import ParallelDense, mixed, parallel_layers
from polytask.networks.trunk import Trunk, joined, task_or_one


class PaCo(Trunk):
    """A ReLU network of `depth` layers whose parameters are theta(z) = sum_k w_k(z) phi_k, with `sets` of them.

    w(z) is linear: a task's own composition where z is one-hot. A layer is computed as sum_k w_k (x W_k + b_k), which
    is the same. The features are (w_1 (h, 1), ..., w_K (h, 1)) of the last layer's h, of which one linear head for all
    tasks makes sum_k w_k (h V_k + c_k): so heads are composed as well.

    Five sets and layers of 400 units are those of the authors' code for ten tasks (TToTMooN/paco-mtrl, cfda896). It
    also leaves out tasks whose loss explodes and sets their compositions anew, which is no part of a network and not
    done here; and it draws all sets alike, where ours are drawn apart. Raises ValueError for no layer or set.
    """

    by_task: ClassVar[bool] = True

    layers: tuple[ParallelDense, ...]
    composition: Dense

    def __init__(
        self, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray, sets: int = 5
    ) -> None:
        check_depth("paco", depth)
        if sets < 1:
            raise ValueError(f"paco has at least one set of parameters, not {sets}")
        key_layers, key_composition = jax.random.split(key)
        self.layers = parallel_layers(sets, (inputs, *[width] * depth), key=key_layers)
        self.composition = Dense(max(task_features, 1), sets, key=key_composition)

    @property
    def width(self) -> int:
        sets, _, width = self.layers[-1].kernel.shape
        return sets * (width + 1)

    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        (weights,), hidden = self.routes(inputs, task_features), inputs
        for layer in self.layers:
            hidden = jax.nn.relu(mixed(weights, layer(hidden))[0])
        with_one = joined(hidden, jnp.ones((len(hidden), 1)))
        return (weights[:, 0, :, None] * with_one[:, None]).reshape(len(hidden), -1)

    def routes(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> tuple[Float[Array, "batch _ _"], ...]:
        return (self.composition(task_or_one(inputs, task_features))[:, None],)
