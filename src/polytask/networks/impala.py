"""The residual convolutional network of IMPALA (Espeholt et al. 2018, arXiv 1802.01561, figure 3, large)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped, UInt8

from polytask.networks.convolution import Conv, batch_last, flattened, max_pool
from polytask.networks.encoder import Encoder
from polytask.networks.layers import Dense, LayerNorm
from polytask.networks.nature import scaled_channels

STAGES = (16, 32, 32)  # channels


class Stage(eqx.Module):
    """A convolution, the largest of 3 x 3 two apart, and twice x + Conv(ReLU(Conv(ReLU(x)))); all of 3 x 3, padded."""

    first: Conv
    blocks: tuple[tuple[Conv, Conv], ...]

    def __init__(self, channels: int, outputs: int, *, key: PRNGKeyArray) -> None:
        first, *rest = jax.random.split(key, 5)
        self.first = Conv(channels, outputs, 3, 1, key=first)
        convolutions = [Conv(outputs, outputs, 3, 1, key=own) for own in rest]
        self.blocks = ((convolutions[0], convolutions[1]), (convolutions[2], convolutions[3]))

    def __call__(self, x: Shaped[Array, "channels height breadth batch"]) -> Float[Array, "outputs rows columns batch"]:
        x = max_pool(self.first(_padded(x)))
        for one, other in self.blocks:
            hidden = one(_padded(jax.nn.relu(x)))
            x = x + other(_padded(jax.nn.relu(hidden)))
        return x


class Impala(Encoder):
    """Stages of 16, 32 and 32 channels (times `multiplier`), ReLU, then Dense and LayerNorm to `width` features.

    The paper's dense layer has 256 units and a ReLU, and an LSTM behind it.
    """

    stages: tuple[Stage, ...]
    dense: Dense
    norm: LayerNorm

    def __init__(self, shape: tuple[int, int, int], width: int, multiplier: float, *, key: PRNGKeyArray) -> None:
        *keys, last = jax.random.split(key, len(STAGES) + 1)
        stages, (height, breadth, channels) = [], shape
        for own, outputs in zip(keys, STAGES, strict=True):
            outputs = scaled_channels(outputs, multiplier)
            stages.append(Stage(channels, outputs, key=own))
            height, breadth, channels = (height + 1) // 2, (breadth + 1) // 2, outputs
        self.stages = tuple(stages)
        self.dense = Dense(height * breadth * channels, width, key=last)
        self.norm = LayerNorm(width)

    @property
    def width(self) -> int:
        return self.dense.kernel.shape[-1]

    def __call__(self, images: UInt8[Array, "batch rows columns channels"]) -> Float[Array, "batch width"]:
        x = batch_last(images)
        for stage in self.stages:
            x = stage(x)
        x = jax.nn.relu(x)
        return self.norm(self.dense(flattened(x)))


def _padded(x: Shaped[Array, "channels height breadth batch"]) -> Shaped[Array, "channels rows columns batch"]:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
