"""Reparameterised convolutions: filters that all tasks share and nothing moves, and for each task what mixes them.

Kanakis et al. 2020 (arXiv 2007.12540): y = W_t (W_s x), with W_s frozen and W_t of 1 x 1, one for each task.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.convolution import Conv
from polytask.networks.layers import LayerNorm


class ConvTrunk(eqx.Module):
    """3 x 3 convolutions, each followed by layer normalisation over the channels and ReLU: images -> features.

    Images are (batch, height, width) or (batch, height, width, channels). From the second layer on sides are halved, as
    long as they are above 2. The features are the means of the quarters of the last map.

    Deviation from the paper: layer instead of batch normalisation, so that a row's answer depends on no other row.
    """

    convs: tuple[Conv, ...]
    norms: tuple[LayerNorm, ...]

    def __init__(self, shape: Sequence[int], width: int, depth: int, *, key: PRNGKeyArray) -> None:
        """`shape` is that of one image. Raises ValueError where it is none."""
        if len(shape) not in (2, 3) or min(shape[:2]) < 2:
            raise ValueError(
                f"rows of shape {tuple(shape)} are no images: filters need (height, width) or (height, width, channels)"
            )
        channels, side = (shape[2] if len(shape) == 3 else 1), min(shape[:2])
        convs = []
        for i, k in enumerate(jax.random.split(key, depth)):
            stride = 2 if i and side > 2 else 1
            side = -(-side // stride)
            convs.append(Conv(channels if i == 0 else width, width, 3, stride, key=k))
        self.convs, self.norms = tuple(convs), tuple(LayerNorm(width) for _ in convs)

    def __call__(
        self, x: Float[Array, "batch height width ..."], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch features"]:
        return _features(x, self.convs, self.norms, [_same] * len(self.convs))


class Modulator(eqx.Module):
    """W_t of one layer: mixes what the shared filters answer.

    With `gain` its rows are normalised, w = gain * rows / |rows| (the paper's normalised feature fusion).
    """

    rows: Float[Array, "channels channels"]
    gain: Float[Array, " channels"] | None

    def matrix(self) -> Float[Array, "channels channels"]:
        """W_t."""
        if self.gain is None:
            return self.rows
        return self.rows * (self.gain / jnp.linalg.norm(self.rows, axis=1))[:, None]


class Frozen:
    """Arrays that a network reads and nothing trains: no leaves, and so no parameters."""

    def __init__(self, filters: tuple[Conv, ...], rotations: tuple[Float[Array, "channels channels"], ...]) -> None:
        self.filters, self.rotations = filters, rotations


class RCTrunk(eqx.Module):
    """A `ConvTrunk` whose filters are `bank.filters`, with a task's modulators and normalisations.

    A layer computes W_t (U^T conv(x)), U being its rotation in the bank: U^T conv is the paper's W_s. Without
    modulators only the normalisations are the task's own.
    """

    modulators: tuple[Modulator, ...]
    norms: tuple[LayerNorm, ...]
    bank: Frozen = eqx.field(static=True)

    def __call__(
        self, x: Float[Array, "batch height width ..."], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch features"]:
        mixes = [
            lambda z, m=modulator, u=rotation: z @ (u @ m.matrix().T)
            for modulator, rotation in zip(self.modulators, self.bank.rotations, strict=False)
        ]
        return _features(x, self.bank.filters, self.norms, mixes or [_same] * len(self.norms))


def response_init(trunk: ConvTrunk, images: Float[Array, "batch height width ..."]) -> Frozen:
    """The bank of a trained trunk: its filters, and for each layer the principal directions of its responses.

    Columns of a rotation are the eigenvectors of the covariance of the layer's responses to `images` over all rows and
    places, the largest first; all are kept, so that the trunk's function can be kept too.
    """
    found: list[Array] = []

    def note(z: Array) -> Array:
        found.append(jnp.linalg.eigh(jnp.cov(z, rowvar=False))[1][:, ::-1])
        return z

    _features(images, trunk.convs, trunk.norms, [note] * len(trunk.convs))
    return Frozen(trunk.convs, tuple(found))


def add_task(trunk: ConvTrunk, bank: Frozen, normalised: bool = True) -> RCTrunk:
    """A new task's modulators, W_t = U, and its normalisations: the function of the trunk, to be trained on."""
    ones = jnp.ones(len(bank.rotations[0])) if normalised else None
    return RCTrunk(tuple(Modulator(rotation, ones) for rotation in bank.rotations), trunk.norms, bank)


def _same(z: Array) -> Array:
    return z


def _features(
    x: Array,
    convs: Sequence[Conv],
    norms: Sequence[LayerNorm],
    mixes: Sequence[Callable[[Array], Array]],
) -> Array:
    """The network; `mixes` change the responses (places, channels) of each layer."""
    x = jnp.moveaxis(x if x.ndim == 4 else x[..., None], (3, 0), (0, 3))  # as convolutions take images
    for conv, norm, mix in zip(convs, norms, mixes, strict=True):
        z = conv(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
        x = jax.nn.relu(norm(mix(z.reshape(len(z), -1).T))).T.reshape(z.shape)
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    quarters = x[:, : 2 * rows, : 2 * columns].reshape(len(x), 2, rows, 2, columns, -1)
    return quarters.mean((2, 4)).reshape(4 * len(x), -1).T
