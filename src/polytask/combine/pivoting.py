"""The active-set method for small quadratic programs over x >= 0, by pivots on a table: a few operations a step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

PIVOTS = 3  # at most so many for each variable
LEAST = 2e-7  # a slope below this is rounding
FLAT = 1e-7  # for each variable: one with less curvature than this, given the free ones, stays at zero
REFINEMENTS = 3


class _Pivot(NamedTuple):
    """What a pivot on p does: table -> keep keep^T * table - left right^T, and so for vectors; nothing if `done`."""

    left: Float[Array, " tasks"]
    right: Float[Array, " tasks"]
    keep: Float[Array, " tasks"]
    done: Bool[Array, ""]


class _State(NamedTuple):
    """The table swept on the free variables, to which `pivot` is still to be applied; all else is after it.

    With F the free variables and B the others, the table is -H_FF^-1 | H_FF^-1 H_FB over its transpose |
    H_BB - H_BF H_FF^-1 H_FB.

    - `diagonal`: the table's.
    - `values`: z_F = H_FF^-1 f_F, the minimiser over the free variables, and the slopes (f - H z)_B there.
    - `x`: feasible; no step goes uphill.
    """

    table: Float[Array, "tasks tasks"]
    diagonal: Float[Array, " tasks"]
    values: Float[Array, " tasks"]
    x: Float[Array, " tasks"]
    free: Bool[Array, " tasks"]
    pivot: _Pivot
    steps: Int[Array, ""]


def active_set(
    matrix: Float[Array, "tasks tasks"], linear: Float[Array, " tasks"], active: Bool[Array, " tasks"]
) -> Float[Array, " tasks"]:
    """argmin x^T H x / 2 - f^T x over x >= 0 for positive semi-definite H with a diagonal of about one, max|f| <= 1.

    Lawson & Hanson's non-negative least squares (1974, chapter 23) on the Gramian, where each variable that is freed
    or bound is one sweep (Goodnight 1979) of the table; the table's inverse then refines x. It ends after finitely
    many pivots in exact arithmetic. In float32 a nearly singular H may defeat it: judge the result.

    - `active`: the variables that exist; the others stay zero.
    """
    count = linear.shape[0]
    number = jnp.arange(count)

    def choose(table: Array, diagonal: Array, values: Array, x: Array, free: Array, steps: Array) -> _State:
        """Moves x towards the minimiser over the free variables; frees the steepest variable, or binds the first that
        would turn negative."""
        minimiser = jnp.where(free, values, 0.0)
        negative = minimiser < 0
        # The share of the way at which each would turn negative; more than all of it for the others.
        reach = jnp.where(negative, x / jnp.where(negative, x - minimiser, 1.0), 2.0)
        slope = jnp.where(active & ~free & (diagonal > FLAT * count), values, -1.0)
        inside = reach.min() > 1
        here = jnp.min(jnp.where(jnp.where(inside, slope == slope.max(), reach == reach.min()), number, count - 1))
        done = inside & (slope.max() <= LEAST)
        at = (number == here) & ~done
        x = jnp.where(inside, minimiser, jnp.where(at, 0.0, x + reach.min() * (minimiser - x)))

        column, sign = table[here], jnp.where(inside, 1.0, -1.0)
        divisor = jnp.where(done, 1.0, column[here])
        pivot = _Pivot(
            left=jnp.where(done, 0.0, jnp.where(at, -sign, column) / divisor),
            right=jnp.where(at, -sign, column),
            keep=jnp.where(at, 0.0, 1.0),
            done=done,
        )
        diagonal = pivot.keep * diagonal - pivot.left * pivot.right
        values = pivot.keep * values - pivot.left * values[here]
        return _State(table, diagonal, values, x, free ^ at, pivot, steps)

    def unfinished(state: _State) -> Array:
        return ~state.pivot.done & (state.steps < PIVOTS * count)

    def advance(state: _State) -> _State:
        left, right, keep, _ = state.pivot
        table = keep[:, None] * keep[None] * state.table - left[:, None] * right[None]
        return choose(table, state.diagonal, state.values, state.x, state.free, state.steps + 1)

    zeros = jnp.zeros_like(linear)
    linear = jnp.where(active, linear, 0.0)
    start = choose(matrix, jnp.diag(matrix), linear, zeros, zeros > 0, jnp.int32(0))
    end = jax.lax.while_loop(unfinished, advance, start)
    x = end.x
    for _ in range(REFINEMENTS):
        x = jnp.where(end.free, x - end.table @ jnp.where(end.free, linear - matrix @ x, 0.0), 0.0)
    return jnp.maximum(x, 0.0)
