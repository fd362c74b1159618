"""A plain ReLU network, the trunk of the SAC baseline."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense


class MLP(eqx.Module):
    """`depth` layers of Dense and ReLU. Kernels orthogonal with scale sqrt(2), biases zero."""

    layers: tuple[Dense, ...]

    def __init__(self, inputs: int, width: int, depth: int, *, key: PRNGKeyArray) -> None:
        sizes = (inputs, *[width] * depth)
        keys = jax.random.split(key, depth)
        self.layers = tuple(Dense(m, n, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True))

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch width"]:
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x
