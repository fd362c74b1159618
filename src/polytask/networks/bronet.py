"""BroNet: the regularised residual trunk of BRO and BRC (arXiv 2405.16158, 2505.23150)."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense, LayerNorm
from polytask.networks.trunk import Trunk, joined


class BroNetBlock(eqx.Module):
    """x + [Dense, LayerNorm, ReLU, Dense, LayerNorm](x)."""

    dense_0: Dense
    norm_0: LayerNorm
    dense_1: Dense
    norm_1: LayerNorm

    def __init__(self, width: int, *, key: PRNGKeyArray) -> None:
        key_0, key_1 = jax.random.split(key)
        self.dense_0 = Dense(width, width, key=key_0)
        self.norm_0 = LayerNorm(width)
        self.dense_1 = Dense(width, width, key=key_1)
        self.norm_1 = LayerNorm(width)

    def __call__(self, x: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
        hidden = jax.nn.relu(self.norm_0(self.dense_0(x)))
        return x + self.norm_1(self.dense_1(hidden))


class BroNet(Trunk):
    """Inputs joined with task features; Dense, LayerNorm, ReLU, then `depth` residual blocks.

    Kernels orthogonal with scale sqrt(2), biases zero.
    """

    dense: Dense
    norm: LayerNorm
    blocks: tuple[BroNetBlock, ...]

    def __init__(self, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray) -> None:
        first, *rest = jax.random.split(key, depth + 1)
        self.dense = Dense(inputs + task_features, width, key=first)
        self.norm = LayerNorm(width)
        self.blocks = tuple(BroNetBlock(width, key=k) for k in rest)

    @property
    def width(self) -> int:
        return self.dense.kernel.shape[-1]

    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        x = jax.nn.relu(self.norm(self.dense(joined(inputs, task_features))))
        for block in self.blocks:
            x = block(x)
        return x
