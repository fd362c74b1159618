"""Features that do not tell where their rows come from: gradient reversal, and class centroids brought together."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree


@jax.custom_vjp
def reversed_gradient(x: PyTree, strength: Any) -> PyTree:
    """x itself, through which gradients pass multiplied by -strength (gradient reversal, arXiv 1505.07818)."""
    return x


def _forward(x: PyTree, strength: Any) -> tuple[PyTree, Float[Array, ""]]:
    return x, jnp.asarray(strength, float)


def _backward(strength: Float[Array, ""], change: PyTree) -> tuple[PyTree, Array]:
    return jax.tree.map(lambda g: -strength * g, change), jnp.zeros_like(strength)


reversed_gradient.defvjp(_forward, _backward)


def reversal_strength(progress: Float[Array, ""] | float, steepness: float = 10.0) -> Float[Array, ""]:
    """2 / (1 + exp(-10 p)) - 1, the usual schedule of gradient reversal: from 0 to nearly 1 with the share p of the
    training that is over."""
    return 2 * jax.nn.sigmoid(jnp.asarray(steepness * progress)) - 1


def domain_adversarial_loss(
    logits: Float[Array, "rows domains"], domains: Int[Array, " rows"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The mean cross-entropy of a classifier of domains, and its accuracy.

    - `logits`: the classifier's, computed from `reversed_gradient(features, strength)`: minimising this loss teaches
      the classifier, and makes the features worse for it.
    - `domains`: from 0; a negative number marks a row of none, which takes no part.

    An accuracy of 1 / domains says that the features tell nothing about them, if domains are equally frequent.
    """
    there = domains >= 0
    count = jnp.maximum(there.sum(), 1).astype(logits.dtype)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(there, domains, 0))
    right = (logits.argmax(-1) == domains).astype(logits.dtype)
    return jnp.where(there, loss, 0.0).sum() / count, jnp.where(there, right, 0.0).sum() / count


def moved_centroids(
    centroids: Float[Array, "tasks classes features"],
    known: Bool[Array, "tasks classes"],
    features: Float[Array, "rows features"],
    tasks: Int[Array, " rows"],
    classes: Int[Array, " rows"],
    keep: float = 0.7,
) -> tuple[Float[Array, "tasks classes features"], Bool[Array, "tasks classes"]]:
    """C <- keep C + (1 - keep) mean of the batch's features, by task and class (Zhou et al. 2021, arXiv 2103.02546).

    A centroid that is not `known` yet becomes the batch's mean; one that the batch says nothing of stays. Returns the
    centroids and which are known. The old ones have no gradient. Rows with a negative class are left out.
    """
    shape = known.shape
    place = jnp.where(classes >= 0, tasks * shape[1] + classes, known.size)
    counts = jnp.zeros(known.size + 1, features.dtype).at[place].add(1.0)[:-1].reshape(shape)
    sums = jnp.zeros((known.size + 1, features.shape[1]), features.dtype).at[place].add(features)[:-1]
    means = sums.reshape(*shape, -1) / jnp.maximum(counts, 1)[..., None]
    before = jax.lax.stop_gradient(centroids)
    moved = jnp.where(known[..., None], keep * before + (1 - keep) * means, means)
    return jnp.where((counts > 0)[..., None], moved, before), known | (counts > 0)


def centroid_distances(
    centroids: Float[Array, "tasks classes features"], known: Bool[Array, "tasks classes"]
) -> Float[Array, "tasks tasks"]:
    """For each two tasks the mean over the classes that both know of ||C_i - C_j||^2; 0 where they share none.

    Semantic multi-task learning adds lambda / T sum over i < j of (a_ij + a_ji) times it, lambda 0.1 in its release.
    """
    apart = jnp.square(centroids[:, None] - centroids[None]).sum(-1)
    both = known[:, None] & known[None]
    return jnp.where(both, apart, 0.0).sum(-1) / jnp.maximum(both.sum(-1), 1).astype(apart.dtype)
