"""Losses of one image with a label at each pixel; pixels whose label is missing take no part."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int


def _mean(values: Float[Array, "height width"], there: Bool[Array, "height width"]) -> Float[Array, ""]:
    """Over the pixels that are there; 0 if none is."""
    return jnp.where(there, values, 0.0).sum() / jnp.maximum(there.sum(), 1).astype(values.dtype)


def pixel_cross_entropy(
    logits: Float[Array, "height width classes"], labels: Int[Array, "height width"]
) -> Float[Array, ""]:
    """The mean softmax cross-entropy, in nats. A label that is no class, such as 255, is missing."""
    there = (labels >= 0) & (labels < logits.shape[-1])
    return _mean(optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(there, labels, 0)), there)


def absolute_error(prediction: Float[Array, "height width"], target: Float[Array, "height width"]) -> Float[Array, ""]:
    """The mean absolute error of depths, in their unit. A depth that is not positive is missing."""
    return _mean(jnp.abs(prediction - target), target > 0)


def cosine_distance(
    prediction: Float[Array, "height width 3"], target: Float[Array, "height width 3"]
) -> Float[Array, ""]:
    """The mean of 1 - cosine between predicted directions, of any length, and unit normals. A zero is missing."""
    return _mean(1 - cosines(prediction, target), (target != 0).any(-1))


def cosines(
    prediction: Float[Array, "height width 3"], target: Float[Array, "height width 3"]
) -> Float[Array, "height width"]:
    """The cosine between predicted directions, of any length, and unit normals."""
    # Of the square, so that the derivative at zero is finite.
    length = jnp.sqrt(jnp.square(prediction).sum(-1) + 1e-8)
    return (prediction * target).sum(-1) / length


def balanced_binary_cross_entropy(
    logits: Float[Array, "height width"], target: Float[Array, "height width"]
) -> Float[Array, ""]:
    """Cross-entropy in which the pixels of a mask weigh together as much as the others (HED, arXiv 1504.06375):
    mean of b y (-log p) + (1 - b) (1 - y) (-log(1 - p)), with b the share of pixels outside the mask.

    Deviation from the paper: a mean over pixels, not a sum; and b is at most 0.99, so that an image without any pixel
    of the mask still says where none is.
    """
    outside = jnp.minimum(1 - target.mean(), 0.99)
    inside = target * jax.nn.softplus(-logits)
    return (outside * inside + (1 - outside) * (1 - target) * jax.nn.softplus(logits)).mean()
