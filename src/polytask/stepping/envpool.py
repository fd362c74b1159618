"""EnvPool as an engine: one pool of one environment per task, all of them stepping at the same time."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from polytask.stepping.base import Faults, Transition
from polytask.tasks.contract import wrong_shape
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import EnvPoolTask
from polytask.tasks.suites import suite_of


def _import_envpool() -> Any:
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


def _asked_for(spec: TaskSpec) -> EnvPoolTask:
    """How EnvPool is asked for a task; raises ValueError for one that it has not."""
    envpool = suite_of(spec).envpool
    if envpool is None:
        raise ValueError(f"task '{spec.name}' is not stepped by EnvPool; take --engine auto")
    return envpool(spec)


class Pool:
    """One task's EnvPool pool of one environment; `seed` decides all of its draws.

    A new pool is resetting already, and `first` waits for that. After an episode's end, `next_episode` sets off the
    next reset, and again `first` waits for it.
    """

    def __init__(self, spec: TaskSpec, seed: int) -> None:
        self.spec, self._seed = spec, seed
        self._asked = _asked_for(spec)
        self._pool = self._make()
        self._action_type = self._pool.action_space.dtype
        self._pool.async_reset()

    def _make(self) -> Any:
        horizon = self.spec.horizon
        common = {"env_type": "gymnasium", "num_envs": 1, "num_threads": 1, "max_episode_steps": horizon}
        return _import_envpool().make(self._asked.id, **self._asked.arguments, **common, seed=self._seed)

    def _flat(self, observation: Any) -> np.ndarray:
        if self._asked.entries is None:
            return observation[0]
        return np.concatenate([observation[entry].ravel() for entry in self._asked.entries])

    def first(self) -> np.ndarray:
        """The observation after the reset that is under way; raises ValueError if it is not of the TaskSpec's size."""
        observation = self._flat(self._pool.recv(reset=True)[0])
        if observation.shape != (self.spec.observation_dim,):
            raise wrong_shape(self.spec.name, "observation", observation.shape, (self.spec.observation_dim,))
        return observation

    def send(self, action: np.ndarray) -> None:
        """Starts a step."""
        self._pool.send(action[None].astype(self._action_type))

    def recv(self) -> tuple[np.ndarray, float, bool, bool, bool]:
        """Ends the step: observation, reward, terminated, truncated, success."""
        observation, reward, terminated, truncated, info = self._pool.recv()
        success = self.spec.success != "none" and bool(info["success"][0] > 0)
        return self._flat(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), success

    def next_episode(self) -> None:
        if self.spec.goals == "fixed":
            # EnvPool draws a goal at each reset and cannot be told which: only a new pool draws the same one again.
            self._pool.close()
            self._pool = self._make()
            self._pool.async_reset()
        else:
            # EnvPool resets at the step after the last one, and ignores that step's action.
            self._pool.send(np.zeros((1, self.spec.action_dim), self._action_type))

    def close(self) -> None:
        self._pool.close()


class EnvPoolEngine:
    """Steps tasks in EnvPool.

    It reports no faults: EnvPool's environments are C++ inside this process, so that one that dies takes it along.
    Raises ValueError for a task that EnvPool has not.
    """

    def __init__(self, tasks: Mapping[int, TaskSpec]) -> None:
        self.rows: Sequence[int] = tuple(tasks)
        self._specs = dict(tasks)
        for spec in tasks.values():
            _asked_for(spec)
        self._pools: dict[int, Pool] = {}

    def start(self, seeds: Mapping[int, int]) -> tuple[Mapping[int, Any], Faults]:
        for row, seed in seeds.items():
            if row in self._pools:
                self._pools.pop(row).close()
            self._pools[row] = Pool(self._specs[row], seed)
        return {row: self._pools[row].first() for row in seeds}, {}

    def send(self, actions: Sequence[Any]) -> None:
        for row, pool in self._pools.items():
            pool.send(actions[row])

    def recv(self) -> tuple[Mapping[int, Transition], Faults]:
        found, ended = {}, []
        for row, pool in self._pools.items():
            following, reward, terminated, truncated, success = pool.recv()
            found[row] = Transition(following, following, reward, terminated, truncated, success)
            if terminated or truncated:
                pool.next_episode()
                ended.append(row)
        for row in ended:
            found[row] = found[row]._replace(observation=self._pools[row].first())
        return found, {}

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
