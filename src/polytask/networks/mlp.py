"""A plain ReLU network, the trunk of the SAC baseline."""

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense
from polytask.networks.trunk import Trunk, joined


class MLP(Trunk):
    """Inputs joined with task features; `depth` layers of Dense and ReLU.

    Kernels orthogonal with scale sqrt(2), biases zero. Raises ValueError for no layer.
    """

    layers: tuple[Dense, ...]

    def __init__(self, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray) -> None:
        if depth < 1:
            raise ValueError(f"an mlp has at least one layer, not {depth}; choose depth 1 or more, or another trunk")
        sizes = (inputs + task_features, *[width] * depth)
        keys = jax.random.split(key, depth)
        self.layers = tuple(Dense(m, n, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True))

    @property
    def width(self) -> int:
        return self.layers[-1].kernel.shape[-1]

    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        x = joined(inputs, task_features)
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x
