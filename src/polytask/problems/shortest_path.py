"""Shortest path with predicted costs, over a grid (PyEPO's data, arXiv 2206.14234, by its description).

From one corner to the opposite one, east and south only. x ~ N(0, I_p); the cost of edge j is
(1 / 3.5^degree * ((B x)_j / sqrt p + 3)^degree + 1) * noise_j, B Bernoulli(1/2), noise ~ U[1 - width, 1 + width]. What
is predicted and counted here are values, the costs' negatives, as in every problem of this package.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.losses.decision import Temperature
from polytask.losses.learner import Instances
from polytask.losses.quality import DecisionProblem
from polytask.problems.pyepo import polynomial

GRID = 5
"""Nodes along a side."""


def edges(grid: int = GRID) -> int:
    """How many edges the grid has: those to the east row by row, then those to the south row by row."""
    return 2 * grid * (grid - 1)


def shortest_path(
    key: PRNGKeyArray,
    instances: int,
    problem_key: PRNGKeyArray,
    *,
    grid: int = GRID,
    features: int = 5,
    degree: int = 4,
    width: float = 0.5,
) -> Instances:
    """Each instance is one row: `features` features, and minus the costs of all edges to predict.

    - `problem_key`: of the matrix B; the same for training and test data.
    """
    x, power, noise = polynomial(
        key, instances, problem_key, outputs=edges(grid), features=features, degree=degree, width=width
    )
    clean = power / 3.5**degree + 1
    return Instances(x[:, None], -(clean * noise)[:, None])


Join = Callable[[Array, Array], Array]


def _best(values: Float[Array, " edges"], grid: int, join: Join) -> Float[Array, ""]:
    """The value of the best path, where `join` says what two ways into a node are worth."""
    east = values[: grid * (grid - 1)].reshape(grid, grid - 1)
    south = values[grid * (grid - 1) :].reshape(grid - 1, grid)
    worth: dict[tuple[int, int], Array] = {(0, 0): jnp.zeros((), values.dtype)}
    for i in range(grid):
        for j in range(grid):
            ways = [worth[i, j - 1] + east[i, j - 1]] if j else []
            ways += [worth[i - 1, j] + south[i - 1, j]] if i else []
            if ways:
                worth[i, j] = join(*ways) if len(ways) == 2 else ways[0]
    return worth[grid - 1, grid - 1]


def solve_shortest_path(values: Float[Array, " edges"], grid: int = GRID) -> Float[Array, " edges"]:
    """The best path, one for each edge that it takes: the derivative of its value."""
    return jax.lax.stop_gradient(jax.grad(_best)(values, grid, lambda a, b: jnp.where(a > b, a, b)))


def soft_shortest_path(
    values: Float[Array, " edges"], temperature: Temperature = 0.5, grid: int = GRID
) -> Float[Array, " edges"]:
    """How often each edge is taken when paths are drawn with probability proportional to exp(value / temperature).

    The derivative of T log sum over paths of exp(value / T), by dynamic programming.
    """
    return jax.grad(lambda v: temperature * _best(v / temperature, grid, jnp.logaddexp))(values)


def shortest_path_problem(temperature: Temperature = 0.5, grid: int = GRID) -> DecisionProblem:
    """Take the cheapest path. `temperature` is in units of the costs, of which an edge's is about 2.

    A random decision is the best path for random values.
    """

    def random(key: PRNGKeyArray, y: Array, aux: Any) -> Array:
        return solve_shortest_path(jax.random.uniform(key, y[0].shape), grid)

    return DecisionProblem(
        objective=lambda z, y, aux: jnp.sum(z * y[0]),
        soft=lambda prediction, aux: soft_shortest_path(prediction[0], temperature, grid),
        hard=lambda prediction, aux: solve_shortest_path(prediction[0], grid),
        random=random,
    )
