"""Environments of Gym before 0.26, as Gymnasium's."""

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np


def _space(space: Any) -> gymnasium.Space:
    if isinstance(space, gymnasium.Space):
        return space
    if isinstance(getattr(space, "spaces", None), Mapping):
        return gymnasium.spaces.Dict({name: _space(part) for name, part in space.spaces.items()})
    if hasattr(space, "low") and hasattr(space, "high"):
        return gymnasium.spaces.Box(space.low, space.high, dtype=space.dtype)
    raise ValueError(f"the space {space} is neither a Box nor a Dict of them; give the environment gymnasium.spaces")


class OldGym(gymnasium.Env):
    """An environment of the old interface as one of Gymnasium's.

    Old is: `seed(seed)`, `reset()` that gives the observation alone, `step(action)` that gives observation, reward,
    done, info, and `render(mode=...)`. An end is a truncation where `info` has "TimeLimit.truncated", as Gym's own time
    limit says it, and a terminal state otherwise. What is new in the environment already stays as it is. Without
    `seed`, and a `reset` that takes none, a run does not repeat. (Shimmy's wrapper of this kind needs NumPy below 2.)
    """

    def __init__(self, env: Any, render_mode: str | None = None) -> None:
        self.old, self.render_mode = env, render_mode
        self._reset_takes_seed = "seed" in inspect.signature(env.reset).parameters
        self.metadata = {"render_modes": ["rgb_array"]}
        self.observation_space, self.action_space = _space(env.observation_space), _space(env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if self._reset_takes_seed:
            result = self.old.reset(seed=seed)
        else:
            if seed is not None and hasattr(self.old, "seed"):
                self.old.seed(seed)
            result = self.old.reset()
        return result if isinstance(result, tuple) and len(result) == 2 else (result, {})

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.old.step(action)
        if len(result) == 5:
            return result
        observation, reward, done, info = result
        truncated = bool(info.get("TimeLimit.truncated", False))
        return observation, reward, bool(done) and not truncated, bool(done) and truncated, info

    def render(self) -> np.ndarray:
        return self.old.render(mode=self.render_mode)

    def close(self) -> None:
        self.old.close()
