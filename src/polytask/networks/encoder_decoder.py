"""An encoder-decoder: from images to features at every pixel."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.convolution import Conv, batch_last
from polytask.networks.layers import LayerNorm


class _Block(eqx.Module):
    """A 3 x 3 convolution with padding, layer normalisation over the channels, ReLU."""

    conv: Conv
    norm: LayerNorm

    def __init__(self, channels: int, outputs: int, stride: int = 1, *, key: PRNGKeyArray) -> None:
        self.conv, self.norm = Conv(channels, outputs, 3, stride, key=key), LayerNorm(outputs)

    def __call__(self, x: Float[Array, "channels height width batch"]) -> Float[Array, "outputs rows columns batch"]:
        z = self.conv(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
        return jax.nn.relu(self.norm(z.reshape(len(z), -1).T)).T.reshape(z.shape)


class EncoderDecoder(eqx.Module):
    """Images (batch, height, width, channels), with numbers from 0 to 1, to (batch, height, width, `width`).

    `depth` times sides are halved; channels are `width`, twice that, and four times that from the third on. The way
    back doubles sides by repetition and joins what the way down had at that size, the image itself at the end
    (U-Net, arXiv 1505.04597). Sized for CPUs: one convolution of 3 x 3 a level each way.

    Deviations from the paper: padding, so that every pixel has features; strides for pooling; layer normalisation.
    """

    down: tuple[_Block, ...]
    up: tuple[_Block, ...]

    def __init__(self, shape: Sequence[int], width: int, depth: int, *, key: PRNGKeyArray) -> None:
        """`shape` is that of one image. Raises ValueError where it is none, or too small to be halved so often."""
        if len(shape) != 3 or min(shape[:2]) < 2**depth:
            raise ValueError(
                f"rows of shape {tuple(shape)} cannot be halved {depth} times; give images (height, width, channels), "
                f"or a smaller --trunk.depth"
            )
        sizes = [shape[2], *(width * min(2**i, 4) for i in range(depth))]
        keys = iter(jax.random.split(key, 2 * depth))
        self.down = tuple(_Block(a, b, 2, key=next(keys)) for a, b in itertools.pairwise(sizes))
        # From the deepest level up; the last block gives `width` channels at the size of the image.
        outputs = [*sizes[1:-1][::-1], width]
        inputs = [sizes[-1], *outputs[:-1]]
        joined = sizes[:-1][::-1]
        self.up = tuple(_Block(a + b, c, key=next(keys)) for a, b, c in zip(inputs, joined, outputs, strict=True))

    def __call__(
        self, x: Float[Array, "batch height width channels"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch height width features"]:
        x = batch_last(x) - 0.5
        passed = [x]
        for block in self.down:
            passed.append(block(passed[-1]))
        x = passed.pop()
        for block in self.up:
            beside = passed.pop()
            height, width = beside.shape[1:3]
            twice = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)[:, :height, :width]
            x = block(jnp.concatenate([twice, beside]))
        return x.transpose(3, 1, 2, 0)
