"""The largest absolute discounted return seen in each task, by which BRC scales rewards."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float


class ReturnBounds:
    """Running extremes of discounted returns-to-go over finished episodes, in float64 and raw reward units.

    At an episode's end the returns G_t of all its steps are computed. A terminated episode ends in 0; a truncated one
    goes on beyond its end with its mean reward for ever, mean(r) / (1 - gamma), as in BRC's official code.
    """

    def __init__(self, discounts: Float[np.ndarray, " tasks"], horizon: int) -> None:
        tasks = len(discounts)
        self.discounts = discounts.astype(np.float64)
        self.low = np.full(tasks, np.inf)
        self.high = np.full(tasks, -np.inf)
        self.rewards = np.zeros((tasks, horizon))
        self.length = np.zeros(tasks, np.int64)

    @property
    def bound(self) -> Float[np.ndarray, " tasks"]:
        """max(high, |low|): infinite before the task's first episode has ended."""
        return np.maximum(self.high, np.abs(self.low)).astype(np.float32)

    def update(
        self,
        rewards: Float[np.ndarray, " tasks"],
        terminated: Bool[np.ndarray, " tasks"],
        truncated: Bool[np.ndarray, " tasks"],
        valid: Bool[np.ndarray, " tasks"],
        truncation_value: Callable[[int], float] | None = None,
    ) -> None:
        """Takes in one step of every task. A task that is not `valid` drops its running episode.

        `truncation_value(task)` replaces the mean-reward bootstrap by an estimate of the last state's value, in raw
        reward units (the paper's variant).
        """
        tasks = np.arange(len(rewards))
        self.rewards[tasks, self.length] = rewards
        self.length = np.where(valid, self.length + 1, 0)
        for task in np.flatnonzero((terminated | truncated) & valid):
            ended = bool(terminated[task])
            given = truncation_value(int(task)) if truncation_value and not ended else None
            self.take(int(task), self.rewards[task, : self.length[task]], ended, given)
            self.length[task] = 0

    def take(
        self,
        task: int,
        episode: Float[np.ndarray, " steps"],
        terminated: bool,
        truncation_value: float | None = None,
    ) -> None:
        """Takes in the rewards of a whole episode; where it was truncated, `truncation_value` may be its tail."""
        tail = 0.0
        if not terminated:
            tail = episode.mean() / (1 - self.discounts[task]) if truncation_value is None else truncation_value
        returns = _returns_to_go(episode, float(self.discounts[task]), tail)
        self.low[task] = min(self.low[task], returns.min())
        self.high[task] = max(self.high[task], returns.max())

    def end_episodes(self) -> None:
        """Drops the running episodes."""
        self.length[:] = 0

    def state(self) -> dict[str, np.ndarray]:
        """All that is learned, as arrays; `load` puts it back."""
        return {"low": self.low, "high": self.high, "rewards": self.rewards, "length": self.length}

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave."""
        self.low, self.high = state["low"].copy(), state["high"].copy()
        self.rewards, self.length = state["rewards"].copy(), state["length"].copy()


def _returns_to_go(rewards: Float[np.ndarray, " steps"], discount: float, tail: float) -> Float[np.ndarray, " steps"]:
    returns = np.empty_like(rewards)
    for t in range(len(rewards) - 1, -1, -1):
        tail = rewards[t] + discount * tail
        returns[t] = tail
    return returns
