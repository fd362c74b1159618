"""Logged tasks in the form in which agents learn from them: a replay, and the scale of their returns."""

from collections.abc import Sequence

import numpy as np

from polytask.datasets.logged import LoggedTask, slots, unit_actions
from polytask.replay import Replay, ReturnBounds
from polytask.tasks.spec import TaskSet


def replay_of(logged: Sequence[LoggedTask], tasks: TaskSet, n_step: int = 1) -> Replay:
    """A replay that holds every logged transition, and is not written to again."""
    ends = [int(slots(task)[-1]) + 2 for task in logged]  # the last episode's last observation, and the slot behind it
    replay = Replay(
        len(tasks), tasks.observation_dim, tasks.action_width, max(ends), None, None, n_step, tasks.discounts
    )
    arrays = {"begin": np.zeros(len(tasks), np.int64), "end": np.array(ends) - 1, "open": np.zeros(len(tasks), bool)}
    for row, task in enumerate(logged):
        at, o, a = slots(task), tasks.observation_dim, tasks.action_width
        rows, sampled = np.zeros((ends[row], o + a + 2), np.float32), np.zeros(ends[row], bool)
        own, acts = task.observations.shape[1], task.actions.shape[1]
        rows[at, :own] = task.observations
        rows[at, o : o + acts] = unit_actions(task)
        rows[at, -2] = task.rewards
        rows[at, -1] = ~task.terminated
        rows[at[task.ends] + 1, :own] = task.next_observations[task.ends]
        sampled[at] = True
        arrays |= {f"rows/{row}": rows, f"sampled/{row}": sampled}
    replay.load(arrays)
    return replay


def bounds_of(logged: Sequence[LoggedTask], tasks: TaskSet) -> ReturnBounds:
    """The extremes of the logged episodes' discounted returns."""
    bounds = ReturnBounds(tasks.discounts, 1)
    for row, task in enumerate(logged):
        for episode in task.episodes:
            bounds.take(row, task.rewards[episode].astype(np.float64), bool(task.terminated[episode.stop - 1]))
    return bounds
