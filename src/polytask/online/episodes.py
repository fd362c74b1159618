"""The returns and successes of training episodes."""

import numpy as np
from jaxtyping import Float

from polytask.evaluation.scores import score
from polytask.stepping import StepResult
from polytask.tasks.spec import TaskSet

RECENT = 0.1  # weight of the latest episode in the running score
LEAST = 0.2  # weight of a task that is always solved, where one that never is has 1 + LEAST


class EpisodeRecord:
    """The latest finished episode of each task, and the running one; NaN before the first has finished."""

    def __init__(self, task_set: TaskSet) -> None:
        tasks = len(task_set)
        self._tasks = task_set
        self.running_return = np.zeros(tasks)
        self.running_success = np.zeros(tasks, bool)
        self.last_return = np.full(tasks, np.nan)
        self.last_success = np.full(tasks, np.nan)
        self.score = np.zeros(tasks)

    def update(self, result: StepResult) -> None:
        """Takes in one step of every task; an episode in which the environment failed does not count."""
        self.running_return += result.rewards
        self.running_success |= result.success
        ended = (result.terminated | result.truncated) & ~result.restarted
        self.last_return = np.where(ended, self.running_return, self.last_return)
        self.last_success = np.where(ended, self.running_success, self.last_success)
        for task in np.flatnonzero(ended).tolist():
            self.score[task] += RECENT * (self._score(task) - self.score[task])
        over = ended | result.restarted
        self.running_return[over], self.running_success[over] = 0.0, False

    def _score(self, task: int) -> float:
        """Of the latest episode, in [0, 1]; 0 for a task that has none."""
        latest = score(self._tasks.specs[task], self.last_return[[task]], self.last_success[[task]])
        return 0.0 if latest is None else float(np.clip(latest, 0, 1))

    def shares(self) -> Float[np.ndarray, " tasks"]:
        """Each task's share of a batch: proportional to 1 - its running score + LEAST.

        After DRATS (arXiv 2605.14350), which takes a task's regret for the score that it lacks.
        """
        weights = 1 + LEAST - self.score
        return weights / weights.sum()

    def end_episodes(self) -> None:
        """Drops the running episodes."""
        self.running_return[:], self.running_success[:] = 0.0, False

    def state(self) -> dict[str, np.ndarray]:
        """All of it, as arrays; `load` puts it back."""
        return {name: value.copy() for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave."""
        for name, value in state.items():
            setattr(self, name, value.copy())
