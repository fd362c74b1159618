"""Running averages of matrices inside `jit`: mean, spread and count of every entry, over one period.

A period is an epoch, or so many steps. Affinity that is averaged past the point of overfitting turns around (the tasks
that help each other memorise look like friends), so periods are written one by one and put together later, up to the
step where training stopped early.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Averages(NamedTuple):
    """How often each entry was measured, its mean, and the sum of its squared deviations from the mean."""

    times: Int[Array, "sources tasks"]
    mean: Float[Array, "sources tasks"]
    squares: Float[Array, "sources tasks"]


def init(sources: int, tasks: int) -> Averages:
    """Nothing measured yet; also how a new period begins."""
    zeros = jnp.zeros((sources, tasks))
    return Averages(jnp.zeros((sources, tasks), jnp.int32), zeros, zeros)


def observe(averages: Averages, matrix: Float[Array, "sources tasks"]) -> Averages:
    """Takes one measurement (Welford's update); entries that are not finite were not measured."""
    matrix = matrix.astype(averages.mean.dtype)
    known = jnp.isfinite(matrix)
    count = averages.times + known.astype(jnp.int32)
    value = jnp.where(known, matrix, averages.mean)
    change = value - averages.mean
    mean = averages.mean + change / jnp.maximum(count, 1).astype(matrix.dtype)
    return Averages(count, mean, averages.squares + change * (value - mean))


def variance(averages: Averages) -> Float[Array, "sources tasks"]:
    """The sample variance of single measurements; NaN where there are fewer than two."""
    count = averages.times.astype(averages.mean.dtype)
    return jnp.where(averages.times > 1, averages.squares / jnp.maximum(count - 1, 1.0), jnp.nan)
