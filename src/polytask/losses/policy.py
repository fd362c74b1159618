"""Tanh-Gaussian policies with padded action dimensions, and the soft actor's losses.

Functions are written for one transition; batch them with `jax.vmap`.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_STD_MIN, LOG_STD_MAX = -10.0, 2.0


def squash_log_std(raw: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Maps a network's output smoothly into [LOG_STD_MIN, LOG_STD_MAX] by tanh (BRC's code)."""
    return LOG_STD_MIN + 0.5 * (LOG_STD_MAX - LOG_STD_MIN) * (1 + jnp.tanh(raw))


def masked_tanh_normal(
    mean: Float[Array, " actions"],
    log_std: Float[Array, " actions"],
    noise: Float[Array, " actions"],
    mask: Float[Array, " actions"],
) -> tuple[Float[Array, " actions"], Float[Array, ""]]:
    """The action tanh(mean + std * noise) and its log-probability, over the dimensions that exist.

    - `noise`: a standard-normal draw.
    - `mask`: 1 where the task has the action dimension, 0 where it is padding. Padded dimensions act 0 and take no
      part in the log-probability, so none in entropy or gradients either.

    Returns the action in (-1, 1) and its log density in nats.
    """
    raw = mean + jnp.exp(log_std) * noise
    log_normal = -0.5 * jnp.square(noise) - log_std - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(x)^2) in a form that neither overflows nor cancels.
    log_slope = 2 * (math.log(2) - raw - jax.nn.softplus(-2 * raw))
    return jnp.tanh(raw) * mask, jnp.sum(jnp.where(mask > 0, log_normal - log_slope, 0.0))


def soft_policy_loss(
    log_prob: Float[Array, ""], q: Float[Array, ""], temperature: Float[Array, ""]
) -> Float[Array, ""]:
    """alpha log pi(a | s) - Q(s, a)."""
    return temperature * log_prob - q


def temperature_loss(
    log_temperature: Float[Array, ""], entropy: Float[Array, ""], target_entropy: Float[Array, ""]
) -> Float[Array, ""]:
    """alpha (H - H_target): the temperature rises while the policy's entropy is below its target."""
    return jnp.exp(log_temperature) * (entropy - target_entropy)


def temperature_weights(
    log_temperature: Float[Array, " tasks"], by: Literal["temperature", "inverse-temperature"]
) -> Float[Array, " tasks"]:
    """How much each of M tasks counts by its temperature, 1 in the mean: a task with much left to explore counts less.

    "temperature": M exp(-alpha_i) / sum_j exp(-alpha_j), the equation of soft modularization (Yang et al. 2020, arXiv
    2003.13661) times M. "inverse-temperature": M alpha_i^-1 / sum_j alpha_j^-1, as its code has it.
    """
    scores = jnp.exp(log_temperature) if by == "temperature" else log_temperature
    return jax.nn.softmax(-scores) * log_temperature.shape[0]
