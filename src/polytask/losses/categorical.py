"""Categorical value learning (C51, Bellemare et al. 2017, arXiv 1707.06887), with the entropy term of soft RL.

Functions are written for one transition; batch them with `jax.vmap`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def project_categorical(
    positions: Float[Array, " bins"], probs: Float[Array, " bins"], v_max: float
) -> Float[Array, " bins"]:
    """Projects probability mass at `positions` onto the support linspace(-v_max, v_max, bins).

    A position beyond the support counts as its nearest end. Mass between two support points is split linearly; mass on
    a support point stays there whole. Scatter-add, so the cost is linear in the bins (the common formulation by one-hot
    matrices is quadratic, with the same result).

    - `positions`: where the mass lies, in the units of the values.
    - `probs`: the mass at each position.

    Returns the mass at each support point; its sum is that of `probs`.
    """
    bins = positions.shape[0]
    spacing = 2 * v_max / (bins - 1)
    index = (jnp.clip(positions, -v_max, v_max) + v_max) / spacing
    lower = jnp.floor(index)
    upper_share = index - lower
    lower_bin = lower.astype(jnp.int32)
    # Where upper_share is 0 nothing is added to the upper bin, so the clamp at the last bin is harmless.
    upper_bin = jnp.minimum(lower_bin + 1, bins - 1)
    return jnp.zeros_like(probs).at[lower_bin].add(probs * (1 - upper_share)).at[upper_bin].add(probs * upper_share)


def categorical_td_target(
    r_t: Float[Array, ""],
    discount_t: Float[Array, ""],
    entropy_bonus_t: Float[Array, ""],
    probs_t: Float[Array, " bins"],
    v_max: float,
) -> Float[Array, " bins"]:
    """The target distribution of r_t + discount_t * (Z_t + entropy_bonus_t) on the support (BRC, arXiv 2505.23150).

    - `discount_t`: the discount, zero where the episode terminated.
    - `entropy_bonus_t`: -alpha log pi(a_t | s_t).
    - `probs_t`: the next state's value distribution (in BRC the mean over the target critics' distributions).
    """
    support = jnp.linspace(-v_max, v_max, probs_t.shape[0], dtype=probs_t.dtype)
    return project_categorical(r_t + discount_t * (support + entropy_bonus_t), probs_t, v_max)


def cross_entropy(target_probs: Float[Array, " bins"], logits: Float[Array, " bins"]) -> Float[Array, ""]:
    """-sum_j target_j log softmax(logits)_j, in nats."""
    return -jnp.sum(target_probs * jax.nn.log_softmax(logits))


def expected_value(probs: Float[Array, " bins"], v_max: float) -> Float[Array, ""]:
    """The mean of a distribution on linspace(-v_max, v_max, bins)."""
    return jnp.sum(jnp.linspace(-v_max, v_max, probs.shape[0], dtype=probs.dtype) * probs)
