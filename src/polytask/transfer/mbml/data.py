"""The logged data of MBML's tasks as arrays, and draws from them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray


class Logs(NamedTuple):
    """N transitions of each of T tasks of the same sizes; actions in [-1, 1]."""

    observations: Float[Array, "tasks n observation"]
    actions: Float[Array, "tasks n action"]
    rewards: Float[Array, "tasks n"]
    continues: Float[Array, "tasks n"]
    next_observations: Float[Array, "tasks n observation"]


class Relabelled(NamedTuple):
    """[i, j]: what the ensemble of task i says of the rewards of j's transitions.

    `held` counts, along the transitions of j, those on which its members agree; the last entry is how many there are.
    """

    rewards: Float[Array, "tasks tasks n"]
    held: Int[Array, "tasks tasks n"]


def check(logs: Logs) -> None:
    """Raises ValueError for arrays that do not belong together, one task, or numbers that are not finite."""
    tasks, n = logs.rewards.shape
    if tasks < 2:
        raise ValueError(f"MBML tells tasks apart, and these are logs of {tasks}; give at least two")
    wrong = [name for name, array in logs._asdict().items() if array.shape[:2] != (tasks, n)]
    if wrong:
        raise ValueError(f"rewards are of {tasks} tasks and {n:,} transitions each; {', '.join(wrong)} are not")
    bad = [name for name, array in logs._asdict().items() if not bool(jnp.isfinite(array).all())]
    if bad:
        raise ValueError(f"not finite: {', '.join(bad)}")


def rows(
    logs: Logs, task: Int[Array, ""], at: Int[Array, " set"], rewards: Float[Array, " set"]
) -> Float[Array, "set inputs"]:
    """(s, a, s', r) of transitions of a task, under any rewards: what a set encoder takes."""
    parts = (logs.observations, logs.actions, logs.next_observations)
    return jnp.concatenate([*(part[task, at] for part in parts), rewards[:, None]], axis=-1)


def draw_held(
    held: Int[Array, " n"], count: int, key: PRNGKeyArray
) -> tuple[Int[Array, " count"], Bool[Array, " count"]]:
    """`count` of the transitions that are held, with replacement, and whether there was any."""
    total = held[-1]
    number = jax.random.randint(key, (count,), 0, jnp.maximum(total, 1))
    at = jnp.searchsorted(held, number + 1)
    return jnp.minimum(at, len(held) - 1), jnp.broadcast_to(total > 0, (count,))
