"""One shape for every environment: its observations and actions in the task's spaces, its horizon, success as a
number, its own seed."""

from typing import Any

import gymnasium
import numpy as np

from polytask.tasks import contract
from polytask.tasks.acting import check_action, native
from polytask.tasks.observing import reader
from polytask.tasks.spaces import Choices, Image, Named, Observation
from polytask.tasks.spec import TaskSpec


class TaskEnv(gymnasium.Wrapper):
    """An environment as its TaskSpec describes it.

    Observations are single frames of uint8 for images, a dictionary for `Named`, and else flattened by Gymnasium's own
    rules (dictionaries in the order of their keys). Actions are within the bounds of a box, or choices counted from 0:
    one number, or an array of several. Episodes are truncated at `spec.horizon`, and where the task knows success,
    `info["success"]` is 0.0 or 1.0 at every step. The first reset uses `seed` unless it is given another one.
    """

    def __init__(self, env: Any, spec: TaskSpec, seed: int) -> None:
        contract.check_environment(spec.name, env)
        super().__init__(env)
        self.task = spec
        self._first_seed: int | None = seed
        self._steps = 0
        self._inner_action = env.action_space
        self._read = reader(spec.name, env.observation_space, spec.observation)
        check_action(spec.name, env.action_space, spec.action)
        self.observation_space = gym_observations(spec.observation)
        self.action_space = gym_actions(spec)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        seed = self._first_seed if seed is None else seed
        self._first_seed = None
        self._steps = 0
        observation, info = contract.reset(self.task.name, self.env, seed, options)
        return self._read(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        space = self.action_space
        if isinstance(space, gymnasium.spaces.Box):
            # Rescaling rounds, and an environment may insist on its bounds.
            action = np.clip(action, space.low, space.high)
        observation, reward, terminated, truncated, info = contract.step(
            self.task.name, self.env, native(self._inner_action, action)
        )
        self._steps += 1
        truncated = truncated or (self._steps >= self.task.horizon and not terminated)
        if self.task.success != "none":
            given = info.get("success", info.get("is_success", 0.0))
            info = {**info, "success": float(contract.number(self.task.name, given, "info['success']") > 0)}
        return self._read(observation), reward, terminated, truncated, info


def gym_observations(space: Observation) -> gymnasium.Space:
    """The space of a TaskEnv's observations."""
    if isinstance(space, Named):
        return gymnasium.spaces.Dict([(name, gym_observations(part)) for name, part in space.parts])
    if isinstance(space, Image):
        return gymnasium.spaces.Box(0, 255, (space.height, space.width, space.channels), np.uint8)
    return gymnasium.spaces.Box(-np.inf, np.inf, (space.size,), np.float32)


def gym_actions(spec: TaskSpec) -> gymnasium.Space:
    """The space of a TaskEnv's actions."""
    if isinstance(spec.action, Choices):
        sizes = spec.action.sizes
        return gymnasium.spaces.Discrete(sizes[0]) if len(sizes) == 1 else gymnasium.spaces.MultiDiscrete(list(sizes))
    low, high = spec.bounds
    return gymnasium.spaces.Box(low, high, dtype=np.float32)
