"""Convolutions as products of a kernel with patches; images lie as (channels, height, width, batch) in them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from polytask.networks.layers import Dense


class Conv(eqx.Module):
    """A convolution without padding over (channels, height, width, batch); the kernel is orthogonal, as a dense one.

    Bytes count as numbers from 0 to 1. Computed as one matrix product of the kernel with the patches, cut out of the
    image folded into blocks of `stride`. With the batch innermost patches are cut in runs of memory, and neither they
    nor what comes back to them is turned round for a product.
    """

    dense: Dense
    size: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __init__(self, channels: int, outputs: int, size: int, stride: int, *, key: PRNGKeyArray) -> None:
        self.dense = Dense(size * size * channels, outputs, key=key)
        self.size, self.stride = size, stride

    def __call__(self, x: Shaped[Array, "channels height width batch"]) -> Float[Array, "outputs rows columns batch"]:
        cut, kernel = patches(x, self.size, self.stride), self.dense.kernel
        if x.dtype == jnp.uint8:
            cut, kernel = cut.astype(kernel.dtype), kernel / 255
        found = jnp.einsum("eo,ep->op", kernel, cut.reshape(cut.shape[0], -1)) + self.dense.bias[:, None]
        return found.reshape(-1, *cut.shape[1:])


def patches(
    x: Shaped[Array, "channels height width batch"], size: int, stride: int
) -> Shaped[Array, "entries rows columns batch"]:
    """The size x size patches, `stride` apart: rows = (height - size) // stride + 1, and so for columns.

    Entries of a patch are in the same order everywhere; pixels that no patch reaches are left out.
    """
    block = stride if size % stride == 0 else 1  # of whole blocks a patch takes fewer and longer slices
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:3])
    height, width = ((count - 1) * stride + size for count in (rows, columns))
    channels, batch = x.shape[0], x.shape[3]
    folded = x[:, :height, :width].reshape(channels, height // block, block, width // block, block, batch)
    step = stride // block
    ends = ((rows - 1) * step + 1, (columns - 1) * step + 1)
    cut = [
        folded[:, i : i + ends[0] : step, :, j : j + ends[1] : step].transpose(2, 4, 0, 1, 3, 5)
        for i in range(size // block)
        for j in range(size // block)
    ]
    return jnp.concatenate([one.reshape(-1, rows, columns, batch) for one in cut])


def max_pool(x: Float[Array, "channels height width batch"]) -> Float[Array, "channels rows columns batch"]:
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


def batch_last(images: Shaped[Array, "batch height width channels"]) -> Shaped[Array, "channels height width batch"]:
    """Images as convolutions take them."""
    return images.transpose(3, 1, 2, 0)


def flattened(x: Float[Array, "channels height width batch"]) -> Float[Array, "batch entries"]:
    """A row for each image, its channels fastest."""
    return x.transpose(1, 2, 0, 3).reshape(-1, x.shape[3]).T
