"""As many tasks as wanted, of Meta-World's sizes and almost for nothing: `gym/synthetic:task_0`, `task_1` and so on."""

from collections.abc import Callable

import gymnasium
import numpy as np

OBSERVATION, ACTION = 39, 4


class Drift(gymnasium.Env):
    """A point that drifts where it is pushed."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)

    def __init__(self) -> None:
        self._place = np.zeros(OBSERVATION)

    def reset(self, *, seed=None, options=None):
        self._place[:] = 0
        return self._place.copy(), {}

    def step(self, action):
        self._place[:ACTION] += 0.1 * action
        return self._place.copy(), float(-abs(self._place[0])), False, False, {"success": 0.0}


def __getattr__(name: str) -> Callable[[], Drift]:
    if name.startswith("task_"):
        return Drift
    raise AttributeError(name)


def names(count: int) -> list[str]:
    """The names of so many tasks; `polytask` has to find this module, as it does beside the script that runs."""
    return [f"gym/synthetic:task_{i}" for i in range(count)]
