"""A plain ReLU network, the trunk of the SAC baseline."""

from collections.abc import Callable, Sequence

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense
from polytask.networks.trunk import Trunk, joined


def dense_layers(sizes: Sequence[int], *, key: PRNGKeyArray) -> tuple[Dense, ...]:
    """Layers from each size to the next."""
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(Dense(m, n, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True))


def relu_between(layers: Sequence[Callable[[Array], Array]], x: Float[Array, "*shape inputs"]) -> Array:
    """The layers one after another, with ReLU between them and none behind."""
    x = layers[0](x)
    for layer in layers[1:]:
        x = layer(jax.nn.relu(x))
    return x


def check_depth(what: str, depth: int) -> None:
    """Raises ValueError for a trunk without layers."""
    if depth < 1:
        raise ValueError(f"{what} has at least one layer, not {depth}; choose depth 1 or more, or another trunk")


class MLP(Trunk):
    """Inputs joined with task features; `depth` layers of Dense and ReLU.

    Kernels orthogonal with scale sqrt(2), biases zero. Raises ValueError for no layer.
    """

    layers: tuple[Dense, ...]

    def __init__(self, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray) -> None:
        check_depth("an mlp", depth)
        self.layers = dense_layers((inputs + task_features, *[width] * depth), key=key)

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
