"""The Ray engine: the process engine with actors of Ray in place of processes, on this machine or on several."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polytask.cluster import connected
from polytask.stepping.base import Faults
from polytask.stepping.process import TIMEOUT, ProcessEngine, Worker
from polytask.stepping.worker import Served
from polytask.tasks.spec import TaskSpec

STARTING = 300.0
"""In seconds: how long an actor may take to begin; longer is taken to mean that no machine has a core for it."""


def _paths() -> list[str]:
    """Where this process finds modules: a person's own environments may lie there."""
    return [entry or str(Path.cwd()) for entry in sys.path]


class _Actor:
    """One actor, and the rows it serves. A step is one message to it and one back, however many tasks it has."""

    def __init__(self, ray: Any, specs: Mapping[int, TaskSpec], timeout: float) -> None:
        self.specs = dict(specs)
        self._ray, self._timeout, self._waits = ray, timeout, timeout
        self._actor: Any = None
        self._answers: Any = None

    def start(self, seeds: Mapping[int, int]) -> None:
        if self._actor is None:
            # No restarts by Ray: an environment is started anew by the stepper, with the next seed, and counted.
            self._actor = self._ray.remote(num_cpus=1, max_restarts=0)(Served).remote(_paths())
            self._waits = STARTING + self._timeout
        self.ask("start", {row: (self.specs[row], seed) for row, seed in seeds.items()})

    def ask(self, request: str, arguments: dict[int, Any]) -> None:
        self._answers = self._actor.answers.remote(request, arguments)

    def answers(self) -> tuple[dict[int, Any], Faults]:
        """What was asked for, and the faults; an actor that died or hung is a fault of all of its rows."""
        errors = self._ray.exceptions
        try:
            found = self._ray.get(self._answers, timeout=self._waits)
        except errors.GetTimeoutError:
            return self._lost(f"gave no answer within {self._waits:g} s")
        except errors.RayActorError:
            return self._lost("died, or its machine did")
        self._waits = self._timeout
        faults = {row: answer for row, answer in found.items() if isinstance(answer, str)}
        return {row: answer for row, answer in found.items() if row not in faults}, faults

    def _lost(self, what: str) -> tuple[dict[int, Any], Faults]:
        self.close()
        names = ", ".join(spec.name for spec in self.specs.values())
        return {}, dict.fromkeys(self.specs, f"the actor of {names} {what}")

    def close(self) -> None:
        if self._actor is not None and self._ray.is_initialized():
            self._ray.kill(self._actor)
        self._actor = None


class RayEngine(ProcessEngine):
    """Steps its tasks in `workers` actors (by default one per core of the cluster), which share them out evenly.

    The cluster is that of RAY_ADDRESS, or this machine. Where an actor dies, another takes its place, on any machine.
    Raises ModuleNotFoundError without Ray, ConnectionError where no cluster answers.
    """

    def __init__(self, tasks: Mapping[int, TaskSpec], workers: int | None = None, timeout: float = TIMEOUT) -> None:
        self.rows: Sequence[int] = tuple(tasks)
        self._connection = contextlib.ExitStack()
        ray = self._connection.enter_context(connected())
        count = min(len(tasks), workers or max(1, int(ray.cluster_resources().get("CPU", 1))))
        shares = [{row: tasks[row] for row in self.rows[first::count]} for first in range(count)]
        self._workers: Sequence[Worker] = [_Actor(ray, share, timeout) for share in shares]

    def close(self) -> None:
        super().close()
        self._connection.close()
