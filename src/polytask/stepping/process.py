"""The process engine: a few worker processes, each of which steps several tasks."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from polytask.machine import cores
from polytask.stepping.base import Faults, Transition
from polytask.tasks.spec import TaskSpec

TIMEOUT = 60.0
"""In seconds: an environment that gives no answer for so long is taken to hang."""


@runtime_checkable
class Worker(Protocol):
    """Something that steps the tasks in `specs`, by their rows."""

    specs: dict[int, TaskSpec]

    def start(self, seeds: Mapping[int, int]) -> None:
        """Asks for the first observations of these rows."""
        ...

    def ask(self, request: str, arguments: dict[int, Any]) -> None:
        """Asks for an answer for each row."""
        ...

    def answers(self) -> tuple[dict[int, Any], Faults]:
        """What was asked for, and the faults."""
        ...

    def close(self) -> None: ...


class _Worker:
    """One worker process and the rows it serves."""

    def __init__(self, specs: Mapping[int, TaskSpec], timeout: float) -> None:
        self.specs = dict(specs)
        self.process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._timeout = timeout
        self._waiting: list[int] = []
        self._broken: str | None = None

    def _spawn(self) -> None:
        # Not multiprocessing: its spawned children import a person's main script, and JAX with it.
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "polytask.stepping.worker", str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        self._connection = Connection(ours.detach())
        self._connection.send([entry or str(Path.cwd()) for entry in sys.path])

    def start(self, seeds: Mapping[int, int]) -> None:
        if self.process is None or self.process.poll() is not None:
            self.close()
            self._spawn()
        self.ask("start", {row: (self.specs[row], seed) for row, seed in seeds.items()})

    def ask(self, request: str, arguments: dict[int, Any]) -> None:
        assert self._connection is not None
        self._waiting, self._broken = list(arguments), None
        try:
            self._connection.send((request, arguments))
        except OSError:
            self._broken = self._death()

    def answers(self) -> tuple[dict[int, Any], Faults]:
        """What was asked for, and the faults; a worker that died or hung is a fault of all of its rows."""
        answers: dict[int, Any] = {}
        faults: dict[int, str] = {}
        for row in self._waiting:
            answer = self._answer()
            if self._broken is not None:
                self.close()
                return {}, self._all_lost(row, self._broken)
            if isinstance(answer, str):
                faults[row] = answer
            else:
                answers[row] = answer
        return answers, faults

    def _answer(self) -> Any:
        """The next answer; or None, and the worker is broken."""
        assert self._connection is not None
        try:
            if self._broken is None and not self._connection.poll(self._timeout):
                self._broken = f"gave no answer within {self._timeout:g} s"
            return None if self._broken else self._connection.recv()[1]
        except (EOFError, OSError):
            self._broken = self._death()
            return None

    def _death(self) -> str:
        assert self.process is not None
        # A closed connection precedes the end of a process by a moment.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        return f"died (exit code {self.process.poll()})"

    def _all_lost(self, culprit: int, what: str) -> Faults:
        """The culprit first, so that it is the one named if it goes too far."""
        shared = f"it shared a worker process with '{self.specs[culprit].name}', and that {what}"
        return {culprit: f"its worker process {what}", **{row: shared for row in self.specs if row != culprit}}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class ProcessEngine:
    """Steps its tasks in `workers` processes (by default one per core), which share the tasks out evenly."""

    def __init__(self, tasks: Mapping[int, TaskSpec], workers: int | None = None, timeout: float = TIMEOUT) -> None:
        self.rows: Sequence[int] = tuple(tasks)
        count = min(len(tasks), workers or cores())
        shares = [{row: tasks[row] for row in self.rows[first::count]} for first in range(count)]
        self._workers: Sequence[Worker] = [_Worker(share, timeout) for share in shares]

    def start(self, seeds: Mapping[int, int]) -> tuple[Mapping[int, Any], Faults]:
        asked = []
        for worker in self._workers:
            own = {row: seeds[row] for row in worker.specs if row in seeds}
            if own:
                worker.start(own)
                asked.append(worker)
        return _together(asked)

    def send(self, actions: Sequence[Any]) -> None:
        for worker in self._workers:
            worker.ask("step", {row: actions[row] for row in worker.specs})

    def recv(self) -> tuple[Mapping[int, Transition], Faults]:
        return _together(self._workers)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


def _together(workers: Sequence[Worker]) -> tuple[dict[int, Any], dict[int, str]]:
    answers: dict[int, Any] = {}
    faults: dict[int, str] = {}
    for worker in workers:
        answered, failed = worker.answers()
        answers.update(answered)
        faults.update(failed)
    return answers, faults
