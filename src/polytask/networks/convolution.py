"""Convolutions as products of patches with a kernel."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from polytask.networks.layers import Dense


class Conv(eqx.Module):
    """A convolution without padding over (batch, height, width, channels); the kernel is orthogonal, as a dense one.

    Computed as one matrix product of the patches, cut out of the image folded into blocks of `stride`: forwards and
    backwards a third faster on a CPU than XLA's convolution. On a core of 66 GFLOP/s (float32 products of 1024 x 1024)
    the Nature network's gradient on 84 x 84 x 4 took 46 ms against 64 with 32 images (53 % and 38 % of the peak), 619
    against 849 with 256 (31 %, 23 %), and on 10 x 10 x 10 either way 1.4 to 1.9 ms with 32, 13 to 14 with 256 (42 %).
    """

    dense: Dense
    size: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __init__(self, channels: int, outputs: int, size: int, stride: int, *, key: PRNGKeyArray) -> None:
        self.dense = Dense(size * size * channels, outputs, key=key)
        self.size, self.stride = size, stride

    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns outputs"]:
        cut = patches(x, self.size, self.stride)
        return self.dense(cut.reshape(-1, cut.shape[-1])).reshape(*cut.shape[:3], -1)


def patches(
    x: Shaped[Array, "batch height width channels"], size: int, stride: int
) -> Shaped[Array, "batch rows columns entries"]:
    """The size x size patches, `stride` apart: rows = (height - size) // stride + 1, and so for columns.

    Entries of a patch are in the same order everywhere; pixels that no patch reaches are left out.
    """
    block = stride if size % stride == 0 else 1  # of whole blocks a patch takes fewer and longer slices
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:3])
    height, width = ((count - 1) * stride + size for count in (rows, columns))
    batch, channels = x.shape[0], x.shape[3]
    folded = x[:, :height, :width].reshape(batch, height // block, block, width // block, block, channels)
    folded = folded.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // block, width // block, -1)
    step = stride // block
    ends = ((rows - 1) * step + 1, (columns - 1) * step + 1)
    cut = [
        folded[:, i : i + ends[0] : step, j : j + ends[1] : step]
        for i in range(size // block)
        for j in range(size // block)
    ]
    return jnp.concatenate(cut, axis=-1)


def max_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns channels"]:
    """The largest of 3 x 3, two apart, padded so that sides are halved and rounded up (TensorFlow's SAME).

    By slices: the gradient of XLA's `reduce_window` is slow on a CPU. Where several are the largest they share it.
    """
    for axis in (1, 2):
        count = (x.shape[axis] + 1) // 2
        before = max(2 * (count - 1) + 3 - x.shape[axis], 0)
        pads = [(0, 0)] * 4
        pads[axis] = (before // 2, before - before // 2)
        padded = jnp.pad(x, pads, constant_values=-jnp.inf)
        parts = [jax.lax.slice_in_dim(padded, i, i + 2 * (count - 1) + 1, 2, axis) for i in range(3)]
        x = jnp.maximum(jnp.maximum(parts[0], parts[1]), parts[2])
    return x
