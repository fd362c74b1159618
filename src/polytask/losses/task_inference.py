"""Which task a set of transitions is of: products of Gaussians, their divergence, and the triplet loss of MBML.

MBML: multi-task batch reinforcement learning with metric learning (Li et al. 2020, arXiv 1909.11373).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

LEAST_VARIANCE = 1e-7  # of a factor of a product, as in MBML's code


def gaussian_product(
    means: Float[Array, "factors latent"], log_variances: Float[Array, "factors latent"], real: Bool[Array, " factors"]
) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
    """The mean and the log variance of the normalised product of the factors that are real; N(0, I) without any.

    Precisions are summed by logarithms, so that no variance underflows.
    """
    log_precisions = -jnp.maximum(log_variances, jnp.log(LEAST_VARIANCE).astype(log_variances.dtype))
    log_precisions = jnp.where(real[:, None], log_precisions, -jnp.inf)
    any_real = real.any()
    safe = jnp.where(any_real, log_precisions, 0.0)  # keeps the derivative finite where there is no factor
    log_sum = jax.nn.logsumexp(safe, axis=0)
    mean = (jnp.exp(safe - log_sum[None]) * jnp.where(real[:, None], means, 0.0)).sum(axis=0)
    return jnp.where(any_real, mean, 0.0), jnp.where(any_real, -log_sum, 0.0)


def gaussian_divergence(
    mean: Float[Array, " latent"],
    log_variance: Float[Array, " latent"],
    other_mean: Float[Array, " latent"],
    other_log_variance: Float[Array, " latent"],
) -> Float[Array, ""]:
    """KL(N(mean, variance) || N(other)) in nats; determinants as sums of logarithms."""
    apart = jnp.square(mean - other_mean) * jnp.exp(-other_log_variance)
    ratio = log_variance - other_log_variance
    return 0.5 * jnp.sum(jnp.exp(ratio) + apart - 1 - ratio)


def triplet_loss(
    to_positive: Float[Array, "tasks tasks"],
    to_negative: Float[Array, "tasks tasks"],
    held: Bool[Array, "tasks tasks"],
    margin: float,
) -> Float[Array, ""]:
    """The mean of relu(KL to the positive - KL to the negative + margin) over the pairs that are held.

    - `to_positive[i, j]`: from the transitions of task j, relabelled for i, to those of i.
    - `to_negative[i, j]`: from the same to the transitions of j under their own rewards.
    - `held`: the pairs with any relabelled transition; the diagonal is left out. Zero without a pair.

    Deviation: MBML's code divides by all pairs, and an empty one adds the margin; here neither counts.
    """
    counted = held & ~jnp.eye(len(held), dtype=bool)
    # Values of pairs that do not count are replaced before the hinge, so that no derivative comes from them.
    gap = jnp.where(counted, to_positive, 0.0) - jnp.where(counted, to_negative, 0.0)
    losses = jnp.where(counted, jax.nn.relu(gap + margin), 0.0)
    return losses.sum() / jnp.maximum(counted.sum(), 1).astype(losses.dtype)


def agreed(
    predictions: Float[Array, "members *rows"], threshold: float
) -> tuple[Float[Array, "*rows"], Bool[Array, "*rows"]]:
    """An ensemble's mean prediction of each row, and whether its deviation is below the threshold."""
    return predictions.mean(axis=0), predictions.std(axis=0) < threshold
