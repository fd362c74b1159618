"""Knapsack with predicted values: items within a capacity (PyEPO's data, arXiv 2206.14234, by its description).

x ~ N(0, I_p); value_j = ceil((5 / 3.5^degree * ((B x)_j / sqrt p + 3)^degree + 1) * noise_j), B Bernoulli(1/2),
noise ~ U[1 - width, 1 + width]; weights ~ U{3.0, 3.1, ..., 8.0}. The higher the degree, the worse a linear predictor
fits.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.losses.decision import Temperature, soft_knapsack
from polytask.losses.learner import Instances
from polytask.losses.quality import DecisionProblem
from polytask.problems.pyepo import polynomial


def knapsack(
    key: PRNGKeyArray,
    instances: int,
    problem_key: PRNGKeyArray,
    *,
    items: int = 16,
    features: int = 5,
    degree: int = 4,
    width: float = 0.5,
) -> Instances:
    """Each instance is one row: `features` features, and the values of all items to predict.

    - `problem_key`: of the matrix B; the same for training and test data.
    """
    x, power, noise = polynomial(
        key, instances, problem_key, outputs=items, features=features, degree=degree, width=width
    )
    clean = 5 / 3.5**degree * power + 1
    return Instances(x[:, None], jnp.ceil(clean * noise)[:, None])


def knapsack_weights(problem_key: PRNGKeyArray, items: int = 16) -> Int[Array, " items"]:
    """The items' weights, in tenths, so that the exact solution can count in integers."""
    return jax.random.randint(jax.random.fold_in(problem_key, 1), (items,), 30, 81)


def solve_knapsack(
    values: Float[Array, " items"], weights: Int[Array, " items"], capacity: int
) -> Float[Array, " items"]:
    """The exact 0/1 solution by dynamic programming over the capacity, in units of the weights."""
    room = jnp.arange(capacity + 1)

    def add(best: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        value, weight = item
        taken = jnp.where(room >= weight, value + best[jnp.maximum(room - weight, 0)], -jnp.inf)
        return jnp.maximum(best, taken), taken > best

    _, takes = jax.lax.scan(add, jnp.zeros(capacity + 1, values.dtype), (values, weights))

    def trace(left: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        take, weight = item
        chosen = take[left]
        return left - jnp.where(chosen, weight, 0), chosen

    _, chosen = jax.lax.scan(trace, jnp.int32(capacity), (takes, weights), reverse=True)
    return chosen.astype(values.dtype)


def knapsack_problem(weights: Int[Array, " items"], capacity: int, temperature: Temperature = 1.0) -> DecisionProblem:
    """Choose items of total weight at most `capacity` (in the units of `weights`) for the largest sum of values.

    A random decision is the best one for random values. `temperature` is in units of the values, which are about 5 to
    30.
    """
    lightest = int(np.asarray(weights).min())  # np.min would be traced inside a jitted function
    if capacity < lightest:
        raise ValueError(f"capacity is {capacity}, but the lightest item weighs {lightest}: nothing can be chosen")

    def hard(prediction: Array, aux: Any) -> Array:
        return solve_knapsack(prediction[0], weights, capacity)

    def random(key: PRNGKeyArray, y: Array, aux: Any) -> Array:
        return solve_knapsack(jax.random.uniform(key, y[0].shape), weights, capacity)

    tenths = weights.astype(jnp.float32) / 10
    return DecisionProblem(
        objective=lambda z, y, aux: jnp.sum(z * y[0]),
        soft=lambda prediction, aux: soft_knapsack(prediction[0], tenths, capacity / 10, temperature),
        hard=hard,
        random=random,
    )
