"""The convolutional network of DQN (Mnih et al. 2015, Nature 518), and a smaller one for small images."""

import jax
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from polytask.networks.convolution import Conv, batch_last, flattened
from polytask.networks.encoder import Encoder
from polytask.networks.layers import Dense, LayerNorm

SMALLEST = 36  # the smallest side that leaves the Nature network a picture
HALVED = 16  # the smallest side of which a small image's convolution takes every second place


class Nature(Encoder):
    """Convolutions with ReLU, then Dense and LayerNorm to `width` features.

    The convolutions depend on the image's shorter side: from 36 pixels on 32 channels of 8 x 8 / 4, 64 of 4 x 4 / 2 and
    64 of 3 x 3 / 1, as in the paper; below that 16 channels of one 3 x 3 (or smaller, in a smaller image), as in
    MinAtar's reference network (Young and Tian 2019, arXiv 1903.03176), with stride 1, and 2 from 16 pixels on (ours).
    `multiplier` is of the channels. The papers' dense layer has a ReLU and no LayerNorm, and 512 units (128).
    """

    convolutions: tuple[Conv, ...]
    dense: Dense
    norm: LayerNorm

    def __init__(self, shape: tuple[int, int, int], width: int, multiplier: float, *, key: PRNGKeyArray) -> None:
        side, channels = min(shape[:2]), shape[2]
        if side >= SMALLEST:
            layers = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        else:
            layers = ((16, min(side, 3), 1 if side < HALVED else 2),)
        *keys, last = jax.random.split(key, len(layers) + 1)
        convolutions, sides = [], shape[:2]
        for own, (outputs, size, stride) in zip(keys, layers, strict=True):
            outputs = scaled_channels(outputs, multiplier)
            convolutions.append(Conv(channels, outputs, size, stride, key=own))
            channels, sides = outputs, tuple((side - size) // stride + 1 for side in sides)
        self.convolutions = tuple(convolutions)
        self.dense = Dense(sides[0] * sides[1] * channels, width, key=last)
        self.norm = LayerNorm(width)

    @property
    def width(self) -> int:
        return self.dense.kernel.shape[-1]

    def __call__(self, images: UInt8[Array, "batch rows columns channels"]) -> Float[Array, "batch width"]:
        x = batch_last(images)
        for convolution in self.convolutions:
            x = jax.nn.relu(convolution(x))
        return self.norm(self.dense(flattened(x)))


def scaled_channels(channels: int, multiplier: float) -> int:
    """The channels times the multiplier, rounded, and one at least."""
    return max(1, round(channels * multiplier))
