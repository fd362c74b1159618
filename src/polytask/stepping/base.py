"""The contract of stepping: what goes in, what comes out, and what happens when an environment fails."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int

from polytask.tasks.spec import TaskSet


class StepResult(NamedTuple):
    """One transition of each of T tasks, in task order, padded with zeros to the TaskSet's sizes.

    `observations` are what to act on next: where an episode ended, the first of the next episode. `next_observations`
    are the true successors of the actions: where an episode ended, its last. `success` is what the simulator says at
    this very step. `restarted` marks a task whose environment failed and was started anew: its transition is void, and
    `observations` holds a fresh reset.
    """

    observations: Float32[np.ndarray, "tasks observations"]
    next_observations: Float32[np.ndarray, "tasks observations"]
    rewards: Float32[np.ndarray, " tasks"]
    terminated: Bool[np.ndarray, " tasks"]
    truncated: Bool[np.ndarray, " tasks"]
    success: Bool[np.ndarray, " tasks"]
    restarted: Bool[np.ndarray, " tasks"]

    @classmethod
    def zeros(cls, tasks: int, observations: int) -> "StepResult":
        """A result to be filled in; every step has its own, so that what was returned is never overwritten."""
        return cls(
            np.zeros((tasks, observations), np.float32),
            np.zeros((tasks, observations), np.float32),
            np.zeros(tasks, np.float32),
            *(np.zeros(tasks, np.bool_) for _ in range(4)),
        )


class TaskFailure(RuntimeError):
    """A task that cannot go on: it failed again and again, or gave a reward or an observation that is not finite.

    `step` counts vector steps since the last reset; `reason` is the original error.
    """

    def __init__(self, task: str, step: int, reason: str) -> None:
        super().__init__(f"task '{task}' failed at step {step}: {reason}")
        self.task, self.step, self.reason = task, step, reason


@runtime_checkable
class Stepper(Protocol):
    """Steps all tasks of a TaskSet at once. `restarts` counts, per task, how often its environment was restarted."""

    tasks: TaskSet
    restarts: Int[np.ndarray, " tasks"]

    def reset(self, seed: int) -> Float32[np.ndarray, "tasks observations"]:
        """Builds every environment anew from `seed` and starts an episode in each.

        What follows depends on the seed and the actions alone, bit for bit; the stream of a task does not depend on
        which other tasks are in the set.
        """
        ...

    def send(self, actions: Float32[np.ndarray, "tasks actions"]) -> None:
        """Starts a step. `actions` lie in [-1, 1] and are rescaled to each task's bounds; padding is ignored."""
        ...

    def recv(self) -> StepResult:
        """Ends the step that `send` started; raises TaskFailure."""
        ...

    def step(self, actions: Float32[np.ndarray, "tasks actions"]) -> StepResult:
        """`send`, then `recv`."""
        ...

    def close(self) -> None:
        """Ends every environment and every process."""
        ...


Faults = Mapping[int, str]
"""The rows (positions in the TaskSet) of the tasks that failed, each with the error."""


@runtime_checkable
class Engine(Protocol):
    """What really steps some of a TaskSet's tasks; `rows` are their positions in it.

    An engine writes into its own rows and reports what failed; it decides nothing about failures.
    """

    rows: Sequence[int]

    def start(self, seeds: Mapping[int, int], out: Float32[np.ndarray, "tasks observations"]) -> Faults:
        """Builds the environments of the rows in `seeds` anew, and writes their first observations into `out`."""
        ...

    def send(self, actions: Float32[np.ndarray, "tasks actions"]) -> None:
        """Starts a step with actions in the tasks' own units."""
        ...

    def recv(self, out: StepResult) -> Faults:
        """Ends the step and writes its rows of `out`, all but `restarted`."""
        ...

    def close(self) -> None: ...
