"""Eigenpairs of Gramians whose gradients differ in length by orders of magnitude, each to its own precision."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from polytask.combine.solvers import EPS, Directions, rank_cut

SWEEPS = 12
ORTHOGONAL = 16 * EPS


class Eigenpairs(NamedTuple):
    """G = V diag(values) V^T over the active tasks, G relative to its largest diagonal entry.

    Values that are zero, and their vectors' columns, are zero. `residual`: how far from orthogonal any two vectors are,
    max |<v_p, v_q>| / sum_i |v_pi v_qi|.
    """

    values: Float[Array, " tasks"]
    vectors: Float[Array, "tasks tasks"]
    residual: Float[Array, ""]


def graded_eigh(to: Directions) -> Eigenpairs:
    """The eigenpairs of S C S, with relative error EPS cond(C) for every eigenvalue, however small.

    One-sided Jacobi rotations of a factor B, G = B B^T (Demmel & Veselic 1992, Algorithm 4.1). An ordinary `eigh` would
    lose all eigenvalues below EPS times the largest: those of gradients a thousand times shorter than the longest. The
    rank is decided on the cosines, see `rank_cut`.
    """
    matrix = jnp.where(to.active[:, None] & to.active[None], to.cosines, 0.0)
    values, vectors = jnp.linalg.eigh(matrix)
    lengths = jnp.sqrt(jnp.where(values > rank_cut(values), values, 0.0))
    norms = jnp.where(to.active, to.norms, 0.0)
    unordered = norms[:, None] * vectors * lengths[None]
    # A triangular factor with the longest gradients first is nearly orthogonal where gradients differ in length, and
    # an ordinary eigh where they do not: the better of the two is the start.
    order = jnp.argsort(-norms)
    # Largest eigenvalues first, so that the columns of the others, zero, stay exactly so.
    triangle = jnp.linalg.qr(unordered[order, ::-1].T)[1].T
    factor = jnp.zeros_like(matrix).at[order].set(triangle)
    rotated = factor @ jnp.linalg.eigh(factor.T @ factor)[1]
    columns = jnp.where(_worst_product(rotated.T) < _worst_product(factor.T), rotated, factor)
    columns, residual = _orthogonalise(columns)
    squares = jnp.sum(jnp.square(columns), axis=0)
    columns = columns / jnp.sqrt(jnp.where(squares == 0, 1.0, squares))[None]
    return Eigenpairs(squares, columns, residual)


def _worst_product(rows: Float[Array, "rows tasks"]) -> Float[Array, ""]:
    """The largest |<b_p, b_q>| / sum_i |b_pi b_qi|.

    The cosine would not do: entries are as small as their task's gradient is short, their relative errors count, and
    cosines between them and others can be far below EPS before they are right.
    """
    lengths = jnp.sqrt(jnp.sum(jnp.square(rows), axis=1))
    unit = rows / jnp.where(lengths == 0, 1.0, lengths)[:, None]
    products = jnp.fill_diagonal(jnp.abs(unit @ unit.T), 0.0, inplace=False)
    bounds = jnp.abs(unit) @ jnp.abs(unit.T)
    return jnp.max(products / jnp.where(bounds == 0, 1.0, bounds))


def _orthogonalise(columns: Float[Array, "tasks tasks"]) -> tuple[Float[Array, "tasks tasks"], Float[Array, ""]]:
    """Rotates pairs of columns until all are orthogonal; the worst product that is left."""
    count = columns.shape[1]
    if count == 1:
        return columns, jnp.zeros(())
    rows = jnp.concatenate([columns.T, jnp.zeros((count % 2, count))])  # an even number of them
    rounds = jnp.asarray(tournament(len(rows)))

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        rows, _, step = carry
        rows, _ = jax.lax.scan(lambda rows, pairs: (_rotate(rows, pairs), None), rows, rounds)
        return rows, _worst_product(rows), step + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > ORTHOGONAL) & (carry[2] < SWEEPS)

    rows, worst, _ = jax.lax.while_loop(unfinished, sweep, (rows, _worst_product(rows), jnp.int32(0)))
    return rows[:count].T, worst


def _rotate(rows: Float[Array, "even tasks"], pairs: Int[Array, "two half"]) -> Float[Array, "even tasks"]:
    """Makes each pair of rows orthogonal."""
    p, q = rows[pairs[0]], rows[pairs[1]]
    product = jnp.sum(p * q, axis=1)
    half = jnp.sum(q * q, axis=1) - jnp.sum(p * p, axis=1)
    # tan of the smaller angle that makes them orthogonal: t = 2 product / (half +- sqrt(half^2 + 4 product^2)).
    reach = jnp.abs(half) + jnp.hypot(half, 2 * product)
    tan = jnp.where(reach == 0, 0.0, 2 * product / jnp.where(reach == 0, 1.0, reach))
    tan = jnp.where(half < 0, -tan, tan)
    cos = jax.lax.rsqrt(1 + tan * tan)[:, None]
    sin = cos * tan[:, None]
    return rows.at[pairs[0]].set(cos * p - sin * q).at[pairs[1]].set(sin * p + cos * q)


def tournament(players: int) -> Int[np.ndarray, "rounds two half"]:
    """Rounds of disjoint pairs in which each meets each once; `players` is even."""
    rest = np.arange(1, players)
    rounds = []
    for turn in range(players - 1):
        order = np.concatenate([[0], np.roll(rest, turn)])
        rounds.append([order[: players // 2], order[: players // 2 - 1 : -1]])
    return np.asarray(rounds, np.int32)
