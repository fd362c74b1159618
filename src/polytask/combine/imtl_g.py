"""IMTL-G: equal projections on all task gradients (Liu et al. 2021, "Towards impartial multi-task learning")."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_mean
from polytask.combine.solvers import EPS, directions, equal_cosines, precise


def imtl_g() -> Weighting:
    """d = sum_i w_i g_i with <d, g_i> / ||g_i|| the same for all i and sum_i w_i = 1.

    w_i = x_i / ||g_i||, x = C^+ 1 with the cosines C, divided by the sum of w. Weights may be negative, and so may be
    their sum before the division (for instance where a short gradient lies between two long ones): the paper's
    condition then makes d point against every task. Where the sum vanishes, d would be infinite: it is zero. Zero
    gradients are left out, with weight zero.

    Deviation: where unit gradients are linearly dependent and no equal projections exist, the paper has no formula;
    ours are the nearest to equal in least squares over unit gradients (Quinton & Rey's G^+ sqrt(diag G) weighs each
    task by its squared length there).

    info["residual"]: that of the normal equations for C^+ 1.
    """

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        x, residual = equal_cosines(to)
        weights = jnp.where(to.active, x / to.norms, 0.0)
        total = weights.sum()
        vanishes = jnp.abs(total) <= 8 * EPS * jnp.abs(weights).sum()
        return jnp.where(vanishes, 0.0, weights / jnp.where(vanishes, 1.0, total)), state, {"residual": residual}

    return Weighting("gramian", lambda tasks: (), weigh, as_mean)
