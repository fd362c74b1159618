"""The serial engine: one environment after another, in this process."""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polytask.stepping.base import Faults, Transition
from polytask.tasks.registry import build_env
from polytask.tasks.spec import TaskSpec


class LocalTask:
    """One task's environment in this process, which starts its next episode by itself."""

    def __init__(self, spec: TaskSpec, seed: int) -> None:
        self.spec = spec
        self._env = build_env(spec, seed)

    def first(self) -> Any:
        return self._env.reset()[0]

    def step(self, action: Any) -> Transition:
        following, reward, terminated, truncated, info = self._env.step(action)
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
        self._actions: Sequence[Any] = ()

    def start(self, seeds: Mapping[int, int]) -> tuple[Mapping[int, Any], Faults]:
        firsts, faults = {}, {}
        for row, seed in seeds.items():
            try:
                if row in self._running:
                    self._running.pop(row).close()
                task = self._running[row] = LocalTask(self._specs[row], seed)
                firsts[row] = task.first()
            except Exception as error:
                faults[row] = describe(error)
        return firsts, faults

    def send(self, actions: Sequence[Any]) -> None:
        self._actions = actions

    def recv(self) -> tuple[Mapping[int, Transition], Faults]:
        transitions, faults = {}, {}
        for row, task in self._running.items():
            try:
                transitions[row] = task.step(self._actions[row])
            except Exception as error:
                faults[row] = describe(error)
        return transitions, faults

    def close(self) -> None:
        for task in self._running.values():
            task.close()
        self._running.clear()
