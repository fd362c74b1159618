"""Observations in units of their own: each task's running mean and deviation of what its batches show.

As in SimbaV2 (arXiv 2502.15280, section 4.1), which keeps one for the observations that it acts on. Ours is kept for
each task, from the batches that are learned from, and so lies in the agent's state.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

LONGEST = 1e6  # rows over which the moments are a plain mean; then an exponential average of about so many
SMALLEST = 0.01  # deviation, in raw units: what hardly moves is not blown up
LARGEST = 10.0  # of what comes out, in deviations


class Moments(eqx.Module):
    """Of each task's observations: rows seen, their mean, and the mean of squared distances to it."""

    rows: Float[Array, " tasks"]
    mean: Float[Array, "tasks observation"]
    variance: Float[Array, "tasks observation"]

    def __init__(self, tasks: int, observation_dim: int) -> None:
        self.rows = jnp.zeros(tasks)
        self.mean, self.variance = jnp.zeros((tasks, observation_dim)), jnp.ones((tasks, observation_dim))

    def __call__(
        self, observations: Float[Array, "*batch observation"], task_ids: Int[Array, "*batch"]
    ) -> Float[Array, "*batch observation"]:
        """(observation - mean) / deviation of the row's task, within +-LARGEST."""
        scale = jax.lax.rsqrt(self.variance + SMALLEST**2)
        return jnp.clip((observations - self.mean[task_ids]) * scale[task_ids], -LARGEST, LARGEST)


def seen(moments: Moments, observations: Float[Array, "rows observation"], task_ids: Int[Array, " rows"]) -> Moments:
    """The moments after these rows; a task without one keeps its own."""

    def mean(values: Float[Array, "rows observation"]) -> Float[Array, "tasks observation"]:
        return jnp.zeros_like(moments.mean).at[task_ids].add(values) / jnp.maximum(new, 1)[:, None]

    new = jnp.zeros_like(moments.rows).at[task_ids].add(1.0)
    before = jnp.minimum(moments.rows, LONGEST)
    share = (new / jnp.maximum(before + new, 1))[:, None]
    batch_mean = mean(observations)
    spread = mean(jnp.square(observations - batch_mean[task_ids]))
    apart = batch_mean - moments.mean
    variance = (1 - share) * moments.variance + share * spread + share * (1 - share) * jnp.square(apart)
    return eqx.tree_at(
        lambda m: (m.rows, m.mean, m.variance), moments, (before + new, moments.mean + share * apart, variance)
    )


def moments_of(rows: Sequence[Float32[np.ndarray, "_ _"]], observation_dim: int) -> Moments:
    """The moments of all rows of each task, which may be narrower than `observation_dim`."""
    widths = [(0, observation_dim - own.shape[1]) for own in rows]
    mean = np.stack([np.pad(own.mean(axis=0, dtype=np.float64), w) for own, w in zip(rows, widths, strict=True)])
    variance = [np.pad(own.var(axis=0, dtype=np.float64), w) for own, w in zip(rows, widths, strict=True)]
    found = np.array([min(len(own), LONGEST) for own in rows], float), mean, np.stack(variance)
    fresh = Moments(len(rows), observation_dim)
    values = tuple(jnp.asarray(value, fresh.mean.dtype) for value in found)
    return eqx.tree_at(lambda m: (m.rows, m.mean, m.variance), fresh, values)
