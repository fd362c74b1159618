"""ConFIG: one and the same cosine with all gradients, as long as they agree (Liu et al. 2024, arXiv 2408.11104)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_sum
from polytask.combine.solvers import directions, equal_cosines, precise, quadratic_form


def config() -> Weighting:
    """d = (sum_i <g_i, u>) u with u the unit vector along U^+ 1, where U holds the unit gradients (equation 2).

    U^+ = U^T (U U^T)^+ and U U^T are the cosines, so that weights of the Gramian express it. For linearly independent
    gradients d has one and the same positive cosine with all of them. Zero gradients are left out, with weight zero.

    info["residual"]: that of the normal equations for U^+ 1.
    """

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        x, residual = equal_cosines(to)
        norms = jnp.where(to.active, to.norms, 0.0)
        square = quadratic_form(to.cosines, x)
        length = norms @ (to.cosines @ x) / jnp.where(square == 0, 1.0, square)
        return jnp.where(to.active, length * x / to.norms, 0.0), state, {"residual": residual}

    return Weighting("gramian", lambda tasks: (), weigh, as_sum)
