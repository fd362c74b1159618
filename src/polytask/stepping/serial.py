"""The serial engine: one environment after another, in this process."""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from polytask.stepping.base import Faults, StepResult
from polytask.tasks.registry import build_env
from polytask.tasks.spec import TaskSpec


class Transition(NamedTuple):
    """One environment's part of a StepResult, without padding."""

    observation: np.ndarray
    next_observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    success: bool

    def write(self, out: StepResult, row: int) -> None:
        out.observations[row, : self.observation.size] = self.observation
        out.next_observations[row, : self.next_observation.size] = self.next_observation
        out.rewards[row] = self.reward
        out.terminated[row], out.truncated[row], out.success[row] = self.terminated, self.truncated, self.success


class LocalTask:
    """One task's environment in this process, which starts its next episode by itself."""

    def __init__(self, spec: TaskSpec, seed: int) -> None:
        self.spec = spec
        self._env = build_env(spec, seed)

    def first(self) -> np.ndarray:
        return self._env.reset()[0]

    def step(self, action: np.ndarray) -> Transition:
        following, reward, terminated, truncated, info = self._env.step(action[: self.spec.action_dim])
        observation = self.first() if terminated or truncated else following
        return Transition(
            observation, following, float(reward), terminated, truncated, bool(info.get("success", 0.0) > 0)
        )

    def close(self) -> None:
        self._env.close()


def describe(error: BaseException) -> str:
    """An error and the line that raised it, for a person who has to find it in an environment of theirs."""
    text = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return text
    return f"{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})"


class SerialEngine:
    """Steps its tasks in turn. A hanging environment hangs it; the process engine has a time limit."""

    def __init__(self, tasks: Mapping[int, TaskSpec]) -> None:
        self.rows: Sequence[int] = tuple(tasks)
        self._specs = dict(tasks)
        self._running: dict[int, LocalTask] = {}
        self._actions: np.ndarray | None = None

    def start(self, seeds: Mapping[int, int], out: Float32[np.ndarray, "tasks observations"]) -> Faults:
        faults = {}
        for row, seed in seeds.items():
            try:
                if row in self._running:
                    self._running.pop(row).close()
                task = self._running[row] = LocalTask(self._specs[row], seed)
                first = task.first()
                out[row, : first.size] = first
            except Exception as error:
                faults[row] = describe(error)
        return faults

    def send(self, actions: Float32[np.ndarray, "tasks actions"]) -> None:
        self._actions = actions

    def recv(self, out: StepResult) -> Faults:
        assert self._actions is not None
        faults = {}
        for row, task in self._running.items():
            try:
                task.step(self._actions[row]).write(out, row)
            except Exception as error:
                faults[row] = describe(error)
        return faults

    def close(self) -> None:
        for task in self._running.values():
            task.close()
        self._running.clear()
