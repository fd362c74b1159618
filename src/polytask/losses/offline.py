"""Losses of agents that learn from logged data. One transition each where not said otherwise; batch with `jax.vmap`."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MOST_WEIGHT = 100.0  # of an advantage-weighted transition, as in IQL's code


def expectile_loss(error: Float[Array, ""], expectile: float) -> Float[Array, ""]:
    """|expectile - 1(error < 0)| error^2: its minimiser is that expectile (IQL, arXiv 2110.06169, equation 5).

    - `error`: what is to be learned minus the prediction.
    """
    return jnp.where(error < 0, 1 - expectile, expectile) * jnp.square(error)


def advantage_weight(advantage: Float[Array, ""], temperature: float) -> Float[Array, ""]:
    """exp(temperature * advantage), at most 100 (IQL, equation 7, with the clip of its code)."""
    return jnp.minimum(jnp.exp(jnp.minimum(temperature * advantage, math.log(MOST_WEIGHT))), MOST_WEIGHT)


def masked_normal_log_prob(
    action: Float[Array, " actions"],
    mean: Float[Array, " actions"],
    log_std: Float[Array, " actions"],
    mask: Float[Array, " actions"],
) -> Float[Array, ""]:
    """The log density (nats) of an action under independent normals, over the dimensions that exist."""
    log_normal = -0.5 * jnp.square((action - mean) / jnp.exp(log_std)) - log_std - 0.5 * math.log(2 * math.pi)
    return jnp.sum(jnp.where(mask > 0, log_normal, 0.0))


def behaviour_distance(
    action: Float[Array, " actions"], logged: Float[Array, " actions"], mask: Float[Array, " actions"]
) -> Float[Array, ""]:
    """(pi(s) - a)^2, the mean over the dimensions that exist (TD3+BC, arXiv 2106.06860, equation 3)."""
    return jnp.sum(jnp.square(action - logged) * mask) / jnp.maximum(mask.sum(), 1)


def value_normalisation(
    q: Float[Array, " batch"], groups: Float[Array, "batch tasks"], alpha: float
) -> Float[Array, " batch"]:
    """lambda = alpha / mean |Q| (TD3+BC, equation 5), the mean over the batch's transitions of the same task.

    For one task that is the paper's; of several, one mean over all (what the paper would take) lets the task with the
    largest values decide how closely the others follow the data. `groups` are one-hot rows of the tasks.
    """
    size = jnp.abs(q) @ groups / jnp.maximum(groups.sum(axis=0), 1)
    return jax.lax.stop_gradient(alpha / jnp.maximum(groups @ size, 1e-6))


def soft_clipped_minimum(q: Float[Array, " members"], lambda_: float) -> Float[Array, ""]:
    """lambda min Q + (1 - lambda) max Q, over the critics (BCQ, arXiv 1812.02900, equation 13)."""
    return lambda_ * q.min() + (1 - lambda_) * q.max()


def masked_elbo_loss(
    reconstruction: Float[Array, " actions"],
    action: Float[Array, " actions"],
    mean: Float[Array, " latent"],
    log_std: Float[Array, " latent"],
    mask: Float[Array, " actions"],
) -> Float[Array, ""]:
    """Squared error plus half the KL to N(0, I), each a mean over dimensions (BCQ's code).

    Of the action the dimensions that exist, of the latent all.
    """
    kl = -0.5 * jnp.mean(1 + 2 * log_std - jnp.square(mean) - jnp.exp(2 * log_std))
    return behaviour_distance(reconstruction, action, mask) + 0.5 * kl
