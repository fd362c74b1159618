"""The stepper: padding, rescaling, named seeds, and what to do when a task fails, over one or several engines."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from polytask import random
from polytask.stepping.base import Engine, Faults, StepResult, TaskFailure
from polytask.tasks.registry import goal_environment_seed
from polytask.tasks.spec import TaskSet

MAX_RESTARTS = 3
"""More restarts of one task than this, within RESTART_WINDOW vector steps, are a failure."""
RESTART_WINDOW = 1000
_REMEDY = "an environment has to give finite numbers: end the episode (terminated) where its simulation breaks down"


class EngineStepper:
    """A Stepper (see `polytask.stepping.base`) over the engines that together serve all tasks of `tasks`.

    All engines get their actions before the first is waited for.
    """

    def __init__(self, tasks: TaskSet, engines: Sequence[Engine], goal_seed: int) -> None:
        self.tasks = tasks
        self.restarts = np.zeros(len(tasks), np.int64)
        self._engines = tuple(engines)
        self._goal_seed = goal_seed
        self._recent = [deque[int]() for _ in tasks]
        self._counters = np.zeros(len(tasks), np.int64)
        self._seed = 0
        self._step = 0
        self._total = 0
        low, high = np.zeros((2, len(tasks), tasks.action_dim), np.float32)
        for row, spec in enumerate(tasks):
            low[row, : spec.action_dim], high[row, : spec.action_dim] = spec.bounds
        self._centre, self._half = (high + low) / 2, (high - low) / 2

    def _environment_seed(self, row: int) -> int:
        """The seed of a task's environment: of its own name, so that the other tasks have no say in it."""
        spec = self.tasks.specs[row]
        if spec.goals == "fixed":
            return goal_environment_seed(spec, self._goal_seed)
        return random.integer(self._seed, f"environment/{spec.name}", int(self._counters[row]))

    def reset(self, seed: int) -> Float32[np.ndarray, "tasks observations"]:
        self._seed, self._step = seed, 0
        self._counters[:] = 0
        observations = np.zeros((len(self.tasks), self.tasks.observation_dim), np.float32)
        for engine in self._engines:
            faults = engine.start({row: self._environment_seed(row) for row in engine.rows}, observations)
            for row, reason in faults.items():
                raise TaskFailure(self.tasks.names[row], 0, f"its environment could not be started: {reason}")
        self._check_finite(observations, "observation")
        return observations

    def send(self, actions: Float32[np.ndarray, "tasks actions"]) -> None:
        wanted = (len(self.tasks), self.tasks.action_dim)
        if np.shape(actions) != wanted:
            raise ValueError(f"actions of these {len(self.tasks)} tasks have shape {wanted}, not {np.shape(actions)}")
        if not np.isfinite(actions).all():
            names = ", ".join(
                name for name, row in zip(self.tasks.names, actions, strict=True) if not np.isfinite(row).all()
            )
            raise ValueError(f"the agent's actions are not finite for: {names}")
        own_units = self._centre + self._half * np.clip(np.asarray(actions, np.float32), -1.0, 1.0)
        for engine in self._engines:
            engine.send(own_units)

    def recv(self) -> StepResult:
        self._step += 1
        self._total += 1
        out = StepResult.zeros(len(self.tasks), self.tasks.observation_dim)
        faults: dict[int, str] = {}
        for engine in self._engines:
            faults.update(engine.recv(out))
        self._check_finite(out.rewards, "reward")
        self._check_finite(out.next_observations, "observation")
        while faults:
            faults = self._restart(faults, out)
        self._check_finite(out.observations, "observation after a reset")
        return out

    def step(self, actions: Float32[np.ndarray, "tasks actions"]) -> StepResult:
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        for engine in self._engines:
            engine.close()

    def _restart(self, faults: Faults, out: StepResult) -> dict[int, str]:
        """Starts the environments of the failed rows anew, and voids their transitions; returns what failed again."""
        for row, reason in faults.items():
            self._count_restart(row, reason)
            for array in out[:-1]:
                array[row] = 0
            out.restarted[row] = True
        again: dict[int, str] = {}
        for engine in self._engines:
            seeds = {row: self._environment_seed(row) for row in faults if row in engine.rows}
            if seeds:
                again.update(engine.start(seeds, out.observations))
        return again

    def _count_restart(self, row: int, reason: str) -> None:
        self._counters[row] += 1
        self.restarts[row] += 1
        recent = self._recent[row]
        recent.append(self._total)
        while recent[0] <= self._total - RESTART_WINDOW:
            recent.popleft()
        if len(recent) > MAX_RESTARTS:
            times = f"{len(recent)} times in the last {RESTART_WINDOW} steps"
            raise TaskFailure(self.tasks.names[row], self._step, f"its environment failed {times}; lastly: {reason}")

    def _check_finite(self, values: np.ndarray, what: str) -> None:
        if np.isfinite(values).all():
            return
        rows, entries = np.nonzero(~np.isfinite(values.reshape(len(self.tasks), -1)))
        row = int(rows[0])
        where = "" if values.ndim == 1 else f" in entries {entries[rows == row].tolist()}"
        found = values[row] if values.ndim == 1 else values[row, entries[0]]
        raise TaskFailure(self.tasks.names[row], self._step, f"its {what} is not finite ({found}{where}); {_REMEDY}")
