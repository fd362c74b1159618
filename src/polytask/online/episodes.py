"""The returns and successes of training episodes."""

import numpy as np

from polytask.stepping import StepResult


class EpisodeRecord:
    """The latest finished episode of each task, and the running one; NaN before the first has finished."""

    def __init__(self, tasks: int) -> None:
        self.running_return = np.zeros(tasks)
        self.running_success = np.zeros(tasks, bool)
        self.last_return = np.full(tasks, np.nan)
        self.last_success = np.full(tasks, np.nan)

    def update(self, result: StepResult) -> None:
        """Takes in one step of every task; an episode in which the environment failed does not count."""
        self.running_return += result.rewards
        self.running_success |= result.success
        ended = (result.terminated | result.truncated) & ~result.restarted
        self.last_return = np.where(ended, self.running_return, self.last_return)
        self.last_success = np.where(ended, self.running_success, self.last_success)
        over = ended | result.restarted
        self.running_return[over], self.running_success[over] = 0.0, False

    def end_episodes(self) -> None:
        """Drops the running episodes."""
        self.running_return[:], self.running_success[:] = 0.0, False

    def state(self) -> dict[str, np.ndarray]:
        """All of it, as arrays; `load` puts it back."""
        return {name: value.copy() for name, value in vars(self).items()}

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave."""
        for name, value in state.items():
            setattr(self, name, value.copy())
