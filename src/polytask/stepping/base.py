"""The contract of stepping: what goes in, what comes out, and what happens when an environment fails."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int

from polytask.tasks import padding
from polytask.tasks.spaces import SetObservations
from polytask.tasks.spec import TaskSet


class StepResult(NamedTuple):
    """One transition of each of T tasks, in task order, padded with zeros to the TaskSet's sizes.

    `observations` are what to act on next: where an episode ended, the first of the next episode. `next_observations`
    are the true successors of the actions: where an episode ended, its last. Images are whole stacks of frames.
    `success` is what the simulator says at this very step. `restarted` marks a task whose environment failed and was
    started anew: its transition is void, and `observations` holds a fresh reset.
    """

    observations: SetObservations
    next_observations: SetObservations
    rewards: Float32[np.ndarray, " tasks"]
    terminated: Bool[np.ndarray, " tasks"]
    truncated: Bool[np.ndarray, " tasks"]
    success: Bool[np.ndarray, " tasks"]
    restarted: Bool[np.ndarray, " tasks"]

    @classmethod
    def zeros(cls, tasks: TaskSet) -> "StepResult":
        """A result to be filled in; every step has its own, so that what was returned is never overwritten."""
        count = len(tasks)
        return cls(
            padding.zeros(tasks, count),
            padding.zeros(tasks, count),
            np.zeros(count, np.float32),
            *(np.zeros(count, np.bool_) for _ in range(4)),
        )


class Transition(NamedTuple):
    """What one environment gives at a step: observations of one frame, and as in StepResult where an episode ends."""

    observation: Any
    next_observation: Any
    reward: float
    terminated: bool
    truncated: bool
    success: bool


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

    def reset(self, seed: int) -> SetObservations:
        """Builds every environment anew from `seed` and starts an episode in each.

        What follows depends on the seed and the actions alone, bit for bit; the stream of a task does not depend on
        which other tasks are in the set.
        """
        ...

    def send(self, actions: Float32[np.ndarray, "tasks actions"]) -> None:
        """Starts a step. `actions` are rows of `TaskSet.action_width`; padding is ignored.

        Continuous dimensions lie in [-1, 1] and are rescaled to each task's bounds; choices are whole numbers from 0.
        """
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

    An engine gives what its environments gave, and reports what failed; it decides nothing about failures.
    """

    rows: Sequence[int]

    def start(self, seeds: Mapping[int, int]) -> tuple[Mapping[int, Any], Faults]:
        """Builds the environments of the rows in `seeds` anew, and gives their first observations."""
        ...

    def send(self, actions: Sequence[Any]) -> None:
        """Starts a step with each task's action, as a TaskEnv takes it."""
        ...

    def recv(self) -> tuple[Mapping[int, Transition], Faults]:
        """Ends the step of its rows."""
        ...

    def close(self) -> None: ...
