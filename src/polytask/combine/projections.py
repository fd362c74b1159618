"""Projections on the cone of vectors that conflict with no task: UPGrad and DualProj (Quinton & Rey 2024)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_mean
from polytask.combine.solvers import directions, nonnegative_qp, precise


def upgrad() -> Weighting:
    """d = sum_i pi(g_i) / n over the n present tasks; pi projects on the vectors v with <v, g_j> >= 0 for all j
    (Quinton & Rey 2024, arXiv 2406.16232, "unconflicting projection of gradients").

    d conflicts with no task. pi(g_i) = sum_j v_j g_j with v = argmin v^T G v over v >= e_i. For
    two tasks it is half of PCGrad. A zero gradient has weight 1/n, binds nobody and adds nothing.

    info["residual"]: the largest KKT residual of the n projections, on unit gradients.
    """

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        # v = e_i + x with x >= 0, on unit gradients: minimise x^T C x / 2 + C_i^T x.
        added, residuals = jax.vmap(lambda row: nonnegative_qp(to.cosines, -row, to.active))(to.cosines)
        norms = jnp.where(to.active, to.norms, 0.0)
        weights = 1 + norms @ added / to.norms
        residual = jnp.max(jnp.where(to.active, residuals, 0.0))
        return _average(weights, inputs), state, {"residual": residual}

    return Weighting("gramian", lambda tasks: (), weigh, as_mean)


def dual_proj() -> Weighting:
    """d = pi(sum_i g_i / n) over the n present tasks; pi projects on the vectors v with <v, g_j> >= 0 for all j
    (Lopez-Paz & Ranzato 2017, arXiv 1706.08840, equation 11, for the mean gradient; named DualProj by Quinton & Rey).

    d conflicts with no task: d = sum_j v_j g_j with v = argmin v^T G v over v >= 1/n. A zero gradient has weight 1/n,
    binds nobody and adds nothing.

    info["residual"]: the KKT residual on unit gradients.
    """

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        norms = jnp.where(to.active, to.norms, 0.0)
        added, residual = nonnegative_qp(to.cosines, -(to.cosines @ norms), to.active)
        return _average(1 + added / to.norms, inputs), state, {"residual": residual}

    return Weighting("gramian", lambda tasks: (), weigh, as_mean)


def _average(weights: Float[Array, " tasks"], inputs: Inputs) -> Float[Array, " tasks"]:
    return jnp.where(inputs.present, weights, 0.0) / jnp.maximum(inputs.present.sum(), 1).astype(float)
