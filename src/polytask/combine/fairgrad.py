"""FairGrad: alpha-fair allocation of improvement to tasks (Ban & Ji 2024, arXiv 2402.15638)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.solvers import EPS, Directions, directions, factor, precise, solve

STEPS = 50
# Gradients that are opposed but for rounding have no solution: the weights would grow for ever. Once what pulls a task
# forward is this share of what it would be without the other tasks, and lost in C's rounding errors, C gets a ridge.
FAINTEST = 4 * EPS
RIDGE = 4 * EPS
MOST = 1e30


def fairgrad(alpha: float = 2.0) -> Weighting:
    """d = sum_i w_i g_i with G w = w^(-1/alpha), w > 0 (equation 4): the step that is alpha-fair in <g_i, d>.

    alpha = 1 is Nash-MTL. d conflicts with no task: <g_i, d> = w_i^(-1/alpha) > 0. At a Pareto-stationary point no w
    exists; the weights then stop growing (at about a thousandfold for alpha = 1), and info["residual"] stays small
    because it is relative to them. Zero gradients are left out, with weight zero. Weights of c J are c^(-2 alpha /
    (alpha + 1)) times those of J.

    Newton's method on the convex potential x^T C x / 2 - sum_i a_i x_i^(1-p) / (1-p), p = 1/alpha, x_i = w_i ||g_i||,
    with a damping that provably decreases it in every step.

    info["residual"]: max_i |(C x)_i - a_i x_i^(-p)| / (sum_j |C_ij| x_j). It is at rounding level for alpha up to 5 and
    gradients up to 1e8 times longer than others; for alpha = 20 and more than a factor of 100 float32 ends. Raises
    ValueError unless alpha > 0.
    """
    if not alpha > 0:
        raise ValueError(f"fairgrad's alpha is the degree of fairness, above 0 (0 would be the mean), not {alpha}")

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        x, residual = fair_lengths(to, 1 / alpha)
        # G grows with the square of the gradients. Beyond 1e30 the paper's own scale cannot be kept in float32.
        unit = jnp.clip(_power(to.longest, -2 * alpha / (alpha + 1)), 1e-30, 1e30)
        return jnp.where(to.active, x / to.norms * unit, 0.0), state, {"residual": residual}

    return Weighting("gramian", lambda tasks: (), weigh)


def _power(base: Float[Array, "..."], exponent: float) -> Float[Array, "..."]:
    return jnp.exp(exponent * jnp.log(jnp.where(base > 0, base, 1.0)))


class _Iterate(NamedTuple):
    x: Float[Array, " tasks"]
    change: Float[Array, ""]
    ridge: Float[Array, ""]
    step: Array


def fair_lengths(to: Directions, p: float) -> tuple[Float[Array, " tasks"], Float[Array, ""]]:
    """x > 0 with C x = a x^(-p), a_i = ||g_i||^(p-1), for active tasks, zero for the others; and the residual."""
    # Without the other tasks x would be a^(1/(1+p)); with `pull` = (alone / x)^(1+p) the equation is C x = x pull.
    alone = jnp.where(to.active, _power(to.norms, (p - 1) / (p + 1)), 0.0)
    matrix = jnp.where(to.active[:, None] & to.active[None], to.cosines, 0.0)

    def pull(x: Float[Array, " tasks"]) -> Array:
        return jnp.where(to.active, jnp.minimum(_power(alone / jnp.where(to.active, x, 1.0), 1 + p), MOST), 0.0)

    def unfinished(at: _Iterate) -> Array:
        return (at.step < STEPS) & (at.change > 8 * EPS)

    def advance(at: _Iterate) -> _Iterate:
        x = at.x
        weight = pull(x)
        ridge = jnp.where(jnp.min(jnp.where(to.active, weight, 1.0)) < FAINTEST, RIDGE, at.ridge)
        lower = factor(matrix, jnp.where(to.active, p * weight + ridge, 1.0))
        change = solve(lower, x * (weight - ridge) - matrix @ x)
        largest = jnp.max(jnp.where(to.active, jnp.abs(change) / jnp.where(to.active, x, 1.0), 0.0))
        # Along the step the second derivative grows at most by (1 - s largest)^-(p+1); this s minimises the bound.
        damped = jnp.minimum(-jnp.expm1(-jnp.log1p(p * largest) / p), 0.99) / jnp.where(largest == 0, 1.0, largest)
        return _Iterate(x + jnp.where(largest == 0, 1.0, damped) * change, largest, ridge, at.step + 1)

    # The best multiple of `alone`: c^(1+p) = |alone|^2 / alone^T C alone.
    square = alone @ matrix @ alone
    multiple = _power(alone @ alone / jnp.maximum(square, 1e-4 * (alone @ alone)), 1 / (1 + p))
    start = _Iterate(multiple * alone, jnp.full((), jnp.inf), jnp.zeros(()), jnp.int32(0))
    x = jax.lax.while_loop(unfinished, advance, start).x
    wrong = jnp.abs(matrix @ x - x * pull(x)) / jnp.where(to.active, jnp.abs(matrix) @ x, 1.0)
    return x, jnp.max(wrong)
