"""Tasks with a label at every pixel: their losses, and what is counted of an image so that sets can be judged."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from polytask.losses import absolute_error, balanced_binary_cross_entropy, cosine_distance, pixel_cross_entropy
from polytask.losses.dense import cosines
from polytask.supervised.spec import HeadGroup

THRESHOLDS = np.arange(1, 10) / 10  # of a mask's probability
ANGLE = 11.25  # degrees
RATIO = 1.25

Maps = Float[Array, "rows height width tasks outputs"]
Labels = Shaped[Array, "rows height width tasks *outputs"]


def pixel_losses(group: HeadGroup, given: Maps, target: Labels) -> Float[Array, "rows tasks"]:
    """The loss of every image in every task of a group, as `HeadSpec` says."""
    one = {
        "segmentation": pixel_cross_entropy,
        "depth": lambda given, target: absolute_error(given[..., 0], target[..., 0]),
        "normals": cosine_distance,
        "mask": lambda given, target: balanced_binary_cross_entropy(given[..., 0], target[..., 0]),
    }[group.kind]
    return jax.vmap(jax.vmap(one, in_axes=2))(given, target)


def counts(group: HeadGroup, given: Maps, target: Labels) -> Float[Array, "rows tasks counts"]:
    """What of an image adds up to the score and the error of a set (`judged`)."""
    one = {"segmentation": _segmentation, "depth": _depth, "normals": _normals, "mask": _mask}[group.kind]
    return jax.vmap(jax.vmap(one, in_axes=2))(given, target)


class Judged(NamedTuple):
    """Score, which is at most 1, and error, of a set; NaN where nothing is labelled.

    | kind | score | error |
    |---|---|---|
    | segmentation | mIoU over the classes that are labelled or predicted | 1 - share of pixels that are right |
    | depth | share of pixels whose depth is right to a factor of 1.25 | RMSE |
    | normals | share of pixels within 11.25 degrees | mean angle, degrees |
    | mask | F at the threshold, one of 0.1 to 0.9 for all images, that is best | share of pixels wrong there |
    """

    score: Float[Array, "..."]
    error: Float[Array, "..."]


ERRORS = {"segmentation": "share wrong", "depth": "RMSE", "normals": "degrees", "mask": "share wrong"}


def judged(kind: str, sums: Float[Array | np.ndarray, "... counts"]) -> Judged:
    """From counts, added up over images."""
    sums = jnp.asarray(sums, jnp.float32)
    count = sums[..., 0]
    if kind == "depth":
        return Judged(_share(sums[..., 1], count), jnp.sqrt(_share(sums[..., 2], count)))
    if kind == "normals":
        return Judged(_share(sums[..., 1], count), _share(sums[..., 2], count))
    if kind == "segmentation":
        both, given, labelled = jnp.split(sums[..., 1:], 3, axis=-1)
        either = given + labelled - both
        overlap = jnp.where(either > 0, both / jnp.maximum(either, 1), 0.0).sum(-1)
        return Judged(_share(overlap, (either > 0).sum(-1).astype(sums.dtype)), 1 - _share(both.sum(-1), count))
    labelled, both, given = sums[..., 1], *jnp.split(sums[..., 2:], 2, axis=-1)
    f = _share(2 * both, given + labelled[..., None])
    best = jnp.argmax(jnp.nan_to_num(f, nan=-1.0), axis=-1, keepdims=True)
    wrong = given + labelled[..., None] - 2 * both
    error = _share(jnp.take_along_axis(wrong, best, -1)[..., 0], count)
    return Judged(jnp.take_along_axis(f, best, -1)[..., 0], error)


def _share(part: Array, whole: Array) -> Array:
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1.0), jnp.nan)


def _segmentation(given: Array, target: Array) -> Array:
    classes = given.shape[-1]
    there = (target >= 0) & (target < classes)
    labelled = jax.nn.one_hot(target, classes)
    predicted = jnp.where(there[..., None], jax.nn.one_hot(given.argmax(-1), classes), 0.0)
    sums = [(labelled * predicted).sum((0, 1)), predicted.sum((0, 1)), labelled.sum((0, 1))]
    return jnp.concatenate([there.sum()[None].astype(jnp.float32), *sums])


def _depth(given: Array, target: Array) -> Array:
    given, target = given[..., 0], target[..., 0]
    there = target > 0
    ratio = jnp.maximum(given, 1e-3) / jnp.where(there, target, 1.0)
    right = there & (ratio < RATIO) & (ratio > 1 / RATIO)
    squares = jnp.where(there, jnp.square(given - target), 0.0).sum()
    return jnp.stack([there.sum().astype(jnp.float32), right.sum().astype(jnp.float32), squares])


def _normals(given: Array, target: Array) -> Array:
    there = (target != 0).any(-1)
    angles = jnp.degrees(jnp.arccos(jnp.clip(cosines(given, target), -1, 1)))
    right = there & (angles < ANGLE)
    total = jnp.where(there, angles, 0.0).sum()
    return jnp.stack([there.sum().astype(jnp.float32), right.sum().astype(jnp.float32), total])


def _mask(given: Array, target: Array) -> Array:
    given, target = given[..., 0, None], target[..., 0, None]
    predicted = (given > np.log(THRESHOLDS / (1 - THRESHOLDS)).astype(np.float32).reshape(1, 1, -1)).astype(jnp.float32)
    both = (predicted * target).sum((0, 1))
    first = jnp.stack([jnp.float32(target.size), target.sum()])
    return jnp.concatenate([first, both, predicted.sum((0, 1))])
