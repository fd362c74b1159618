"""Small convex problems over task weights, solved on unit gradients in float32, with their optimality residuals.

A Gramian G = S C S has norms S = diag(n) and cosines C. All solvers work on C: gradients of very different lengths then
cost no digits, and a residual is a cosine.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float

from polytask.combine.base import Info, Inputs
from polytask.combine.pivoting import active_set

EPS = float(jnp.finfo(jnp.float32).eps)
SHORTEST = 1e-15  # a gradient shorter than this share of the longest counts as zero: its square is no float32
TOLERANCE = 2e-7
STEPS = 30
SMALLEST = 1e-12  # of a variable of the interior-point method


Weigh = Callable[[Inputs, Any], tuple[Float[Array, " tasks"], Any, Info]]


def precise(weigh: Weigh) -> Weigh:
    """Matrix products in full float32, also on machines whose matrix units would round to fewer bits."""

    @wraps(weigh)
    def weigh_precisely(inputs: Inputs, state: Any) -> tuple[Float[Array, " tasks"], Any, Info]:
        with jax.default_matmul_precision("highest"):
            return weigh(inputs, state)

    return weigh_precisely


class Directions(NamedTuple):
    """The gradients' cosines and norms.

    - `cosines`: the identity in the rows and columns of tasks that are not `active`.
    - `norms`: relative to the longest; 1 for tasks that are not active.
    - `longest`: the longest norm, in the units of the true gradients.
    - `active`: present, with a gradient that is not zero; `zero`: present, with a zero gradient.
    """

    cosines: Float[Array, "tasks tasks"]
    norms: Float[Array, " tasks"]
    longest: Float[Array, ""]
    active: Bool[Array, " tasks"]
    zero: Bool[Array, " tasks"]


def directions(inputs: Inputs) -> Directions:
    """Takes the Gramian of the present tasks apart."""
    squares = jnp.where(inputs.present, jnp.diag(inputs.gramian), 0.0)
    largest = jnp.max(squares)
    squares = squares / jnp.where(largest == 0, 1.0, largest)
    active = squares > SHORTEST**2
    norms = jnp.sqrt(jnp.where(active, squares, 1.0))
    both = active[:, None] & active[None]
    cosines = jnp.where(both, inputs.gramian / jnp.where(largest == 0, 1.0, largest), 0.0)
    cosines = jnp.clip(cosines / norms[None] / norms[:, None], -1.0, 1.0)
    cosines = (cosines + cosines.T) / 2
    cosines = jnp.fill_diagonal(cosines, jnp.ones(()), inplace=False)
    return Directions(cosines, norms, jnp.sqrt(largest) * inputs.scale, active, inputs.present & ~active)


def share(values: Float[Array, " tasks"]) -> Float[Array, " tasks"]:
    """`values` divided by their sum; as they are where it is zero."""
    total = values.sum()
    return values / jnp.where(total == 0, 1.0, total)


def kkt_residual(
    x: Float[Array, " tasks"], slack: Float[Array, " tasks"], scale: Float[Array, ""], active: Bool[Array, " tasks"]
) -> Float[Array, ""]:
    """max_i |min(x_i, slack_i)| / scale: zero if and only if x >= 0, slack >= 0 and x_i slack_i = 0 for all i."""
    worst = jnp.max(jnp.where(active, jnp.abs(jnp.minimum(x, slack)), 0.0))
    return worst / jnp.where(scale == 0, 1.0, scale)


def factor(matrix: Float[Array, "tasks tasks"], diagonal: Float[Array, " tasks"]) -> Float[Array, "tasks tasks"]:
    """The Cholesky factor of matrix + diag(diagonal), a little enlarged against rounding.

    What it is enlarged by slows Newton's method down along null directions; it does not move the solution.
    """
    return jnp.linalg.cholesky(matrix + jnp.diag(diagonal + matrix.shape[0] * EPS), symmetrize_input=False)


def solve(lower: Float[Array, "tasks tasks"], right: Float[Array, " tasks"]) -> Float[Array, " tasks"]:
    """The solution of L L^T x = right."""
    return cho_solve((lower, True), right)


class Solution(NamedTuple):
    """A solution and its optimality residual."""

    x: Float[Array, " tasks"]
    residual: Float[Array, ""]


class _Point(NamedTuple):
    """An iterate of the interior-point method: the variables, their multipliers, and the best solution so far."""

    x: Float[Array, " tasks"]
    slack: Float[Array, " tasks"]
    best: Solution
    step: Array


def nonnegative_qp(
    matrix: Float[Array, "tasks tasks"], linear: Float[Array, " tasks"], active: Bool[Array, " tasks"]
) -> Solution:
    """argmin x^T H x / 2 - f^T x over x >= 0, for positive semi-definite H with a diagonal of about one.

    By `active_set`; where float32 defeats it, by Mehrotra's predictor-corrector interior-point method (Nocedal &
    Wright 2006, Algorithm 16.4), then two active-set steps, which make weights that are zero exactly zero; the best of
    the iterates is returned. The problem must be bounded; if it is not, the result is finite, and its residual tells.

    - `matrix`, `linear`: H and f; H is the identity in the rows and columns of tasks that are not active.
    - `active`: the variables that exist; the others are zero.

    The residual is max_i |min(x_i, (H x - f)_i)|, relative to sum(x) + max|f|.
    """
    linear = jnp.where(active, linear, 0.0)
    largest = jnp.max(jnp.abs(linear))
    largest = jnp.where(largest == 0, 1.0, largest)
    linear = linear / largest
    count = jnp.maximum(active.sum(), 1).astype(linear.dtype)

    def judge(x: Float[Array, " tasks"]) -> Solution:
        return Solution(x, kkt_residual(x, matrix @ x - linear, x.sum() + 1, active))

    def better(one: Solution, other: Solution) -> Solution:
        return jax.tree.map(lambda a, b: jnp.where(one.residual <= other.residual, a, b), one, other)

    def unfinished(point: _Point) -> Array:
        return (point.step < STEPS) & (point.best.residual > TOLERANCE)

    def advance(point: _Point) -> _Point:
        x, slack = point.x, point.slack
        gap = matrix @ x - linear - slack
        lower = factor(matrix, slack / x)

        def newton(products: Float[Array, " tasks"]) -> tuple[Array, Array]:
            products = jnp.where(active, products, 0.0)
            dx = solve(lower, jnp.where(active, products / x - gap, 0.0))
            return dx, (products - slack * dx) / x

        def longest(dx: Float[Array, " tasks"], dslack: Float[Array, " tasks"]) -> Array:
            shrink = jnp.maximum(jnp.max(-dx / x), jnp.max(jnp.where(slack > 0, -dslack / slack, 0.0)))
            return 1 / jnp.maximum(shrink, 1.0)

        mean = x @ jnp.where(active, slack, 0.0) / count
        dx, dslack = newton(-x * slack)
        length = longest(dx, dslack)
        predicted = jnp.where(active, (x + length * dx) * (slack + length * dslack), 0.0).sum() / count
        centre = (predicted / mean) ** 3 * mean
        dx, dslack = newton(-x * slack - dx * dslack + centre)
        length = jnp.minimum(0.99 * longest(dx, dslack), 1.0)
        x = jnp.maximum(x + length * dx, SMALLEST)
        slack = jnp.where(active, jnp.maximum(slack + length * dslack, SMALLEST), 0.0)
        best = better(judge(jnp.where(active, x, 0.0)), point.best)
        sound = jnp.isfinite(x).all() & jnp.isfinite(slack).all()
        return _Point(x, slack, best, jnp.where(sound, point.step + 1, STEPS))

    # An inactive variable stands at x = 1 with slack 0; nothing moves it, and it counts nowhere.
    ones, zeros = jnp.ones_like(linear), jnp.zeros_like(linear)
    first = better(judge(active_set(matrix, linear, active)), judge(zeros))
    start = _Point(ones, jnp.where(active, ones, 0.0), first, jnp.int32(0))
    end = jax.lax.while_loop(unfinished, advance, start)

    def sharpen(_: Array, best: Solution) -> Solution:
        return better(judge(_on_support(matrix, linear, best.x, active)), best)

    rounds = jnp.where(end.step == 0, 0, 2)  # what comes from pivots is sharp
    best = jax.lax.fori_loop(0, rounds, sharpen, end.best)
    return Solution(best.x * largest, best.residual)


def _on_support(
    matrix: Float[Array, "tasks tasks"],
    linear: Float[Array, " tasks"],
    x: Float[Array, " tasks"],
    active: Bool[Array, " tasks"],
) -> Float[Array, " tasks"]:
    """The solution if the variables that are larger than their slacks are the positive ones."""
    support = active & (x > matrix @ x - linear)
    lower = factor(jnp.where(support[:, None] & support[None], matrix, 0.0), jnp.where(support, 0.0, 1.0))
    y = jnp.where(support, x, 0.0)
    for _ in range(3):  # iterative refinement
        y = y + solve(lower, jnp.where(support, linear - matrix @ y, 0.0))
    return jnp.maximum(y, 0.0)


def quadratic_form(matrix: Float[Array, "tasks tasks"], x: Float[Array, " tasks"]) -> Float[Array, ""]:
    """x^T M x, not below zero."""
    return jnp.maximum(x @ matrix @ x, 0.0)


def equal_cosines(to: Directions) -> Solution:
    """x = C^+ 1 over the active tasks: d = sum_i x_i g_i / ||g_i|| has product 1 with all unit gradients.

    Where unit gradients are linearly dependent and no such d exists, the products are nearest to one in least squares,
    and x is the shortest such. Eigenvalues of C at float32's rounding level count as zero. The residual is that of the
    normal equations, C (1 - C x) = 0.
    """
    ones = jnp.where(to.active, 1.0, 0.0)
    matrix = jnp.where(to.active[:, None] & to.active[None], to.cosines, 0.0)
    values, vectors = jnp.linalg.eigh(matrix)
    inverse = jnp.where(values > rank_cut(values), 1 / jnp.where(values == 0, 1.0, values), 0.0)
    x = jnp.zeros_like(ones)
    for _ in range(3):  # iterative refinement
        x = x + vectors @ (inverse * (vectors.T @ (ones - matrix @ x)))
    wrong = jnp.max(jnp.abs(matrix @ (ones - matrix @ x)))
    size = jnp.max(jnp.abs(matrix) @ (ones + jnp.abs(matrix) @ jnp.abs(x)))
    return Solution(x, wrong / jnp.where(size == 0, 1.0, size))


def rank_cut(values: Float[Array, " tasks"]) -> Float[Array, ""]:
    """Below this, an eigenvalue of a float32 matrix with unit diagonal cannot be told from zero."""
    return 8 * EPS * jnp.maximum(jnp.max(values), values.shape[0] ** 0.5)
