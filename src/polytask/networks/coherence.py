"""MT-CP's parts (WACV 2025), as its release computes them: what a task's features take from those of others, and how
its decoder looks back.

Feature maps are (batch, height, width, channels). Deviation in all of them: layer instead of batch
normalisation, so that an image's answer depends on no other image.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense, LayerNorm

Maps = Float[Array, "batch height width channels"]


def _mixed(dense: Dense, x: Float[Array, "batch height width inputs"]) -> Float[Array, "batch height width outputs"]:
    """A convolution of 1 x 1."""
    return dense(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def _normed(norm: LayerNorm, x: Maps) -> Maps:
    return norm(x.reshape(-1, x.shape[-1])).reshape(x.shape)


class CBAM(eqx.Module):
    """Attention over channels, then over places (arXiv 1807.06521).

    Channels are scaled by sigmoid(MLP(mean over places) + MLP(maximum over places)), places by the sigmoid of a
    convolution of 7 x 7 over the mean and the maximum of their channels.
    """

    squeeze: Dense
    widen: Dense
    places: Dense
    side: int = eqx.field(static=True)

    def __init__(self, channels: int, reduction: int = 16, side: int = 7, *, key: PRNGKeyArray) -> None:
        first, second, third = jax.random.split(key, 3)
        inner = max(1, channels // reduction)
        self.squeeze = Dense(channels, inner, key=first)
        self.widen = Dense(inner, channels, key=second, scale=1.0)
        self.places = Dense(2 * side * side, 1, key=third, scale=1.0)
        self.side = side

    def __call__(self, x: Maps) -> Maps:
        pooled = [self.widen(jax.nn.relu(self.squeeze(one))) for one in (x.mean((1, 2)), x.max((1, 2)))]
        x = x * jax.nn.sigmoid(pooled[0] + pooled[1])[:, None, None]
        summary = jnp.stack([x.mean(-1), x.max(-1)], axis=-1)
        half, (height, width) = self.side // 2, x.shape[1:3]
        padded = jnp.pad(summary, ((0, 0), (half, half), (half, half), (0, 0)))
        spans = [(i, j) for i in range(self.side) for j in range(self.side)]
        cut = jnp.concatenate([padded[:, i : i + height, j : j + width] for i, j in spans], axis=-1)
        return x * jax.nn.sigmoid(_mixed(self.places, cut))


class CoherenceFusion(eqx.Module):
    """What a task's features become in the light of others': out = norm(CBAM(S norm(CBAM(x)))).

    - The others are gated, a * sigmoid(conv(a)), joined and mixed to F = relu(conv([...])).
    - S = softmax(A1 A2^T) over all pairs of places, with A1 and A2 = relu(norm(CBAM(F))), each its own; unscaled, and
      there is no residual, as in the release. It costs the square of the number of places: give coarse maps.
    """

    gates: tuple[Dense, ...]
    mix: Dense
    attentions: tuple[CBAM, ...]
    norms: tuple[LayerNorm, ...]

    def __init__(self, channels: int, others: int, *, key: PRNGKeyArray) -> None:
        """For tasks with `others` others of the same number of channels. Raises ValueError where there is none."""
        if others < 1:
            raise ValueError("coherence fusion needs at least one other task")
        keys = iter(jax.random.split(key, others + 5))
        self.gates = tuple(Dense(channels, channels, key=next(keys), scale=1.0) for _ in range(others))
        self.mix = Dense(others * channels, channels, key=next(keys))
        self.attentions = tuple(CBAM(channels, key=next(keys)) for _ in range(4))
        self.norms = tuple(LayerNorm(channels) for _ in range(4))

    def __call__(self, x: Maps, others: Sequence[Maps]) -> Maps:
        gated = [a * jax.nn.sigmoid(_mixed(gate, a)) for gate, a in zip(self.gates, others, strict=True)]
        fused = jax.nn.relu(_mixed(self.mix, jnp.concatenate(gated, axis=-1)))

        def looked(i: int, maps: Maps) -> Maps:
            return _normed(self.norms[i], self.attentions[i](maps))

        flat = (len(x), -1, x.shape[-1])
        first, second = (jax.nn.relu(looked(i, fused)).reshape(flat) for i in range(2))
        weights = jax.nn.softmax(jnp.einsum("bpc,bqc->bpq", first, second))
        moved = jnp.einsum("bpq,bqc->bpc", weights, looked(2, x).reshape(flat)).reshape(x.shape)
        return looked(3, moved)


class TraceBack(eqx.Module):
    """A task's prediction, refined from coarse to fine over the scales of its decoder.

    At each scale what was carried and the scale's own map pass CBAM, the first is resized to the second and joined with
    it; one mixture of 1 x 1, norm, relu is carried on, in that scale's width, and another is for predictions. All but
    the finest are to be supervised too, each with weight 1/2 in the release.
    """

    attentions: tuple[tuple[CBAM, CBAM], ...]
    carries: tuple[Dense, ...]
    predictions: tuple[Dense, ...]
    norms: tuple[tuple[LayerNorm, LayerNorm], ...]

    def __init__(self, channels: Sequence[int], width: int, *, key: PRNGKeyArray) -> None:
        """`channels` of the scales, the coarsest first; `width` of what predictions are made from. Raises ValueError
        where there are fewer than two scales."""
        if len(channels) < 2:
            raise ValueError("trace-back goes over at least two scales")
        attentions, carries, predictions, norms = [], [], [], []
        for before, own, one in zip(channels[:-1], channels[1:], jax.random.split(key, len(channels) - 1), strict=True):
            keys = jax.random.split(one, 4)
            attentions.append((CBAM(before, key=keys[0]), CBAM(own, key=keys[1])))
            carries.append(Dense(before + own, own, key=keys[2]))
            predictions.append(Dense(before + own, width, key=keys[3]))
            norms.append((LayerNorm(own), LayerNorm(width)))
        self.attentions, self.carries = tuple(attentions), tuple(carries)
        self.predictions, self.norms = tuple(predictions), tuple(norms)

    def __call__(self, scales: Sequence[Float[Array, "batch _ _ _"]]) -> list[Float[Array, "batch _ _ _"]]:
        """From the maps of the scales, the coarsest first, what to predict from at each but the first."""
        carried, found = scales[0], []
        parts = zip(scales[1:], self.attentions, self.carries, self.predictions, self.norms, strict=True)
        for own, (looks_back, looks), carry, predict, (norm_carried, norm_found) in parts:
            before = looks_back(carried)
            resized = jax.image.resize(before, (*own.shape[:3], before.shape[-1]), "bilinear")
            joined = jnp.concatenate([resized, looks(own)], axis=-1)
            carried = jax.nn.relu(_normed(norm_carried, _mixed(carry, joined)))
            found.append(jax.nn.relu(_normed(norm_found, _mixed(predict, joined))))
        return found
