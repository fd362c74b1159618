"""One shape for every environment: flat float32 observations, the task's horizon, success as a number, its own seed."""

from typing import Any

import gymnasium
import numpy as np

from polytask.tasks import contract
from polytask.tasks.spec import TaskSpec


class TaskEnv(gymnasium.Wrapper):
    """An environment as its TaskSpec describes it.

    Observations are flattened by Gymnasium's own rules (dictionaries in the order of their keys), episodes are
    truncated at `spec.horizon`, and where the task knows success, `info["success"]` is 0.0 or 1.0 at every step. The
    first reset uses `seed` unless it is given another one.
    """

    def __init__(self, env: Any, spec: TaskSpec, seed: int) -> None:
        contract.check_environment(spec.name, env)
        super().__init__(env)
        self.task = spec
        self._first_seed: int | None = seed
        self._steps = 0
        self._inner_action = env.action_space
        size = contract.flat_size(spec.name, env.observation_space)
        if size != spec.observation_dim:
            raise contract.wrong_shape(spec.name, "observation", (size,), (spec.observation_dim,))
        actions = int(np.prod(env.action_space.shape or (1,)))
        if actions != spec.action_dim:
            raise contract.wrong_shape(spec.name, "action", (actions,), (spec.action_dim,))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (spec.observation_dim,), np.float32)
        low, high = spec.bounds
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)

    def _flat(self, observation: Any) -> np.ndarray:
        return contract.flat(self.task.name, self.env.observation_space, observation, self.task.observation_dim)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        seed = self._first_seed if seed is None else seed
        self._first_seed = None
        self._steps = 0
        observation, info = contract.reset(self.task.name, self.env, seed, options)
        return self._flat(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        # Rescaling rounds, and an environment may insist on its bounds.
        action = np.clip(action, self.action_space.low, self.action_space.high)  # type: ignore[attr-defined]
        space = self._inner_action
        observation, reward, terminated, truncated, info = contract.step(
            self.task.name, self.env, action.reshape(space.shape).astype(space.dtype)
        )
        self._steps += 1
        truncated = truncated or (self._steps >= self.task.horizon and not terminated)
        if self.task.success != "none":
            given = info.get("success", info.get("is_success", 0.0))
            info = {**info, "success": float(contract.number(self.task.name, given, "info['success']") > 0)}
        return self._flat(observation), reward, terminated, truncated, info
