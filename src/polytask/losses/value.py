"""Scalar value targets. One transition each; batch with `jax.vmap`."""

from jaxtyping import Array, Float


def soft_td_target(
    r_t: Float[Array, ""], discount_t: Float[Array, ""], entropy_bonus_t: Float[Array, ""], q_t: Float[Array, ""]
) -> Float[Array, ""]:
    """r_t + discount_t * (q_t + entropy_bonus_t) (SAC, Haarnoja et al. 2018, arXiv 1801.01290, eq. 3).

    - `discount_t`: the discount, zero where the episode terminated.
    - `entropy_bonus_t`: -alpha log pi(a_t | s_t).
    """
    return r_t + discount_t * (q_t + entropy_bonus_t)
