"""CAGrad: the best improvement of the worst task, near the mean gradient (Liu et al. 2021, arXiv 2110.14048)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.solvers import Directions, directions, nonnegative_qp, precise, quadratic_form

STEPS = 16
CLOSE = 1e-6  # of the ball's radius


class _Search(NamedTuple):
    """The bracket of the worst-case improvement, and the last solution that lies in the ball."""

    low: Float[Array, ""]
    high: Float[Array, ""]
    try_next: Float[Array, ""]
    x: Float[Array, " tasks"]
    radius: Float[Array, ""]
    residual: Float[Array, ""]
    step: Array
    done: Bool[Array, ""]


def cagrad(c: float = 0.5) -> Weighting:
    """d = argmax min_i <g_i, d> over ||d - g_0|| <= c ||g_0||, g_0 the mean gradient (Algorithm 1).

    The paper's own scale is that of its equation: d, not d / (1 + c^2) as in its code. Then <d, g_0> >= (1 - c)
    ||g_0||^2: d never conflicts with the mean; it may conflict with single tasks. c = 0 is the mean.

    Solved as max t such that some e with ||e|| <= c ||g_0|| has <g_i, g_0 + e> >= t for all i. For a given t the
    shortest such e is a quadratic program over the non-negative orthant, and Newton's method on its length in t gives
    upper bounds, values of the paper's dual, one after another. Where several d are best (at Pareto-stationary
    points, or if a gradient is zero), ours is the one next to g_0. A zero gradient counts, as the definition says.

    info["residual"]: the larger of the KKT residual on unit gradients and of what the ball leaves of the duality gap,
    ||g_u|| (c - ||e|| / ||g_0||), with the dual weights u on unit gradients. Raises ValueError unless 0 <= c < 1.
    """
    if not 0 <= c < 1:
        raise ValueError(f"cagrad's c is the ball's radius relative to the mean gradient, from 0 to below 1, not {c}")

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        count = jnp.maximum(inputs.present.sum(), 1).astype(float)
        norms = jnp.where(to.active, to.norms, 0.0) / count
        mean_length = jnp.sqrt(quadratic_form(to.cosines, norms))
        unit = jnp.where(mean_length == 0, 0.0, 1 / jnp.where(mean_length == 0, 1.0, mean_length))
        x, residual = _correction(to, (to.cosines @ norms) * unit, c)
        weights = jnp.where(inputs.present, 1 / count, 0.0) + jnp.where(to.active, mean_length * x / to.norms, 0.0)
        return weights, state, {"residual": residual}

    return Weighting("gramian", lambda tasks: (), weigh, lambda tasks: jnp.full_like(tasks, 1 + c))


def _correction(
    to: Directions, along: Float[Array, " tasks"], c: float
) -> tuple[Float[Array, " tasks"], Float[Array, ""]]:
    """x with e = ||g_0|| sum_i x_i g_i / ||g_i||, and the residual.

    - `along`: the cosines of all gradients with g_0. Lengths are relative to ||g_0||, t to the shortest gradient too.
    """
    shortest = jnp.min(jnp.where(to.active, to.norms, 1.0))
    inverse = jnp.where(to.active, shortest / to.norms, 0.0)
    along = jnp.where(to.active, along, 0.0)

    def improvement(margin: Float[Array, ""]) -> Array:
        """min_i over (cosine with g_0 + margin) ||g_i||: t cannot exceed it if e is no longer than margin."""
        bound = jnp.min(jnp.where(to.active, (along + margin) / jnp.where(to.active, inverse, 1.0), jnp.inf))
        return jnp.where(to.active.any(), bound, 0.0)

    limit = jnp.where(to.zero.any(), 0.0, jnp.inf)  # a zero gradient improves by nothing

    def unfinished(search: _Search) -> Array:
        return (search.step < STEPS) & ~search.done

    def advance(search: _Search) -> _Search:
        t = search.try_next
        x, residual = nonnegative_qp(to.cosines, t * inverse - along, to.active)
        # Both are ||e||^2 at a solution. Where t cannot be reached there is none, and the second grows beyond bounds.
        radius = jnp.sqrt(jnp.maximum(quadratic_form(to.cosines, x), x @ (t * inverse - along)))
        total = x @ inverse
        newton = t - (radius - c) * radius / jnp.where(total == 0, 1.0, total)
        inside = radius <= c * (1 + CLOSE)
        low, high = jnp.where(inside, t, search.low), jnp.where(inside, search.high, t)
        usable = (newton > low) & (newton < high) & (total > 0)
        close = jnp.abs(radius - c) <= c * CLOSE
        narrow = high - low <= CLOSE * (jnp.abs(low) + jnp.abs(high))
        capped = inside & (t >= limit)
        keep = inside | close
        return _Search(
            low,
            high,
            jnp.where(usable, newton, (low + high) / 2),
            jnp.where(keep, x, search.x),
            jnp.where(keep, radius, search.radius),
            jnp.where(keep, residual, search.residual),
            search.step + 1,
            close | narrow | capped,
        )

    zero = jnp.zeros(())
    low, high = improvement(zero), improvement(jnp.asarray(c, float))
    start = _Search(
        low, high, jnp.minimum(high, limit), jnp.zeros_like(along), zero, zero, jnp.int32(0), ~to.active.any()
    )
    found = jax.lax.while_loop(unfinished, advance, start)
    # The ball binds unless its multiplier, ||g_u||, vanishes: at a stationary point, or where a zero gradient limits t.
    total = found.x.sum()
    multiplier = jnp.where(total == 0, 1.0, found.radius / jnp.where(total == 0, 1.0, total))
    ball = jnp.abs(c - found.radius) * jnp.where(to.zero.any() | ~to.active.any(), 0.0, multiplier)
    return found.x, jnp.maximum(found.residual, ball)
