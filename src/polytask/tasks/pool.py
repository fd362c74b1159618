"""One task in EnvPool: as a pool that the engine steps, and as a Gymnasium environment where nothing else has it."""

import importlib
import sys
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np

from polytask.tasks import adapter
from polytask.tasks.contract import wrong_shape
from polytask.tasks.spaces import Named, Vector
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import EnvPoolTask
from polytask.tasks.suites import suite_of


def import_envpool() -> Any:
    """EnvPool without its Jumanji suite, which would load matplotlib: most of the 0.7 s that importing it takes.

    Whoever wants that suite as well imports `envpool.jumanji.registration`.
    """
    suite = "envpool.jumanji.registration"
    if "envpool" in sys.modules:
        return sys.modules["envpool"]
    sys.modules[suite] = ModuleType(suite)
    try:
        return importlib.import_module("envpool")
    finally:
        del sys.modules[suite]


def asked_for(spec: TaskSpec) -> EnvPoolTask:
    """How EnvPool is asked for a task; raises ValueError for one that it has not."""
    envpool = suite_of(spec).envpool
    if envpool is None:
        raise ValueError(f"task '{spec.name}' is not stepped by EnvPool; take --engine auto")
    return envpool(spec)


class Pool:
    """One task's EnvPool pool of one environment; `seed` decides all of its draws.

    A new pool is resetting already, and `first` waits for that. After an episode's end, `next_episode` sets off the
    next reset, and again `first` waits for it; `restart` does so in the middle of one.
    """

    def __init__(self, spec: TaskSpec, seed: int) -> None:
        self.spec, self._seed = spec, seed
        self._asked = asked_for(spec)
        self._pool = self._make()
        space = self._pool.action_space
        self._action_type = space.dtype
        self._idle = np.zeros((1, *space.shape), self._action_type)
        self._pool.async_reset()

    def _make(self) -> Any:
        horizon = self.spec.horizon
        common = {"env_type": "gymnasium", "num_envs": 1, "num_threads": 1, "max_episode_steps": horizon}
        return import_envpool().make(self._asked.id, **self._asked.arguments, **common, seed=self._seed)

    def first(self) -> Any:
        """The observation after the reset that is under way; raises ValueError if it is not of the TaskSpec's size."""
        observation = self._asked.read(self._pool.recv(reset=True)[0])
        _check(self.spec, observation)
        return observation

    def send(self, action: Any) -> None:
        """Starts a step."""
        self._pool.send(np.asarray(action)[None].astype(self._action_type))

    def recv(self) -> tuple[Any, float, bool, bool, bool]:
        """Ends the step: observation, reward, terminated, truncated, success."""
        observation, reward, terminated, truncated, info = self._pool.recv()
        success = self.spec.success != "none" and bool(info["success"][0] > 0)
        return self._asked.read(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), success

    def next_episode(self) -> None:
        if self.spec.goals == "fixed":
            # EnvPool draws a goal at each reset and cannot be told which: only a new pool draws the same one again.
            self._pool.close()
            self._pool = self._make()
            self._pool.async_reset()
        else:
            # EnvPool resets at the step after the last one, and ignores that step's action.
            self._pool.send(self._idle)

    def restart(self) -> None:
        self._pool.async_reset()

    def close(self) -> None:
        self._pool.close()


class PoolEnv(gymnasium.Env):
    """A task that EnvPool alone has, for engines other than EnvPool's and for whoever wants the environment itself."""

    def __init__(self, spec: TaskSpec, seed: int) -> None:
        self.observation_space = adapter.gym_observations(spec.observation)
        self.action_space = adapter.gym_actions(spec)
        self._spec, self._seed = spec, seed
        self._pool = Pool(spec, seed)
        self._begun = self._ended = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As Gymnasium has it. A seed makes the pool anew, unless it is the first one's own."""
        if seed is not None and (self._begun or seed != self._seed):
            self._pool.close()
            self._pool = Pool(self._spec, seed)
        elif self._ended:
            self._pool.next_episode()
        elif self._begun:
            self._pool.restart()
        self._begun, self._ended = True, False
        return self._pool.first(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._pool.send(action)
        observation, reward, terminated, truncated, success = self._pool.recv()
        self._ended = terminated or truncated
        return observation, reward, terminated, truncated, {"success": success}

    def close(self) -> None:
        self._pool.close()


def _check(spec: TaskSpec, observation: Any) -> None:
    space = spec.observation
    found = (
        [(observation[name], part) for name, part in space.parts]
        if isinstance(space, Named)
        else [(observation, space)]
    )
    for value, part in found:
        wanted = (part.size,) if isinstance(part, Vector) else (part.height, part.width, part.channels)
        if value.shape != wanted:
            raise wrong_shape(spec.name, "observation", value.shape, wanted)
