"""Where does a training step's time go, and what is gained by stepping the simulators while the update runs?

    python benchmarks/loop.py metaworld/mt10             # about a minute

1. Two loops take turns in blocks, on one agent and one replay: polytask's, which sends the actions off, sets off the
   update and then waits for the simulators; and one that does one after the other.
2. The split of a training's wall time and of its CPU time into simulators, XLA and everything else, from a profile of
   200 steps of polytask's loop. By the clock a moment is XLA's while a program is being computed (a second thread
   waits for each program and notes when it is done), the simulators' while the main thread is in one of their calls and
   no program runs, and else that of everything else: Python, and JAX's own work around its programs. Of CPU, everything
   else is what the main thread computes outside the simulators' calls; simulators and XLA are told apart by the
   threads that compute for them.
3. What the main thread computes in each part of a step. Most of it falls into the time of the update.
"""

import argparse
import contextlib
import dataclasses
import io
import math
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import jax
import numpy as np
import psutil

from polytask.agents.config import BRCConfig
from polytask.online.config import TrainConfig
from polytask.online.trainer import OnlineTrainer
from polytask.runs.compilation import keep_compiled
from polytask.tasks import resolve

Span = tuple[float, float]  # beginning and end, by time.perf_counter
PROFILED = 200  # steps


class OneAfterTheOther(OnlineTrainer):
    """The same step without overlap."""

    def _advance_once(self) -> None:
        (session,) = self.sessions
        step = session.step + 1
        session.send(np.asarray(self._policy_actions(step)))
        session.receive()
        self._learn(step)


class Parts:
    """Time of the main thread in nested calls, each call's own time apart: CPU, and by the clock as intervals."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.spans: dict[str, list[Span]] = defaultdict(list)
        self._open: list[float] = []

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Counts the calls of a method under `name`."""
        call: Callable[..., Any] = getattr(owner, method)

        def watched(*arguments: Any, **named: Any) -> Any:
            begin, clock = time.thread_time(), time.perf_counter()
            self._open.append(0.0)
            try:
                return call(*arguments, **named)
            finally:
                whole, inner = time.thread_time() - begin, self._open.pop()
                self.spent[name] += whole - inner
                self.spans[name].append((clock, time.perf_counter()))
                if self._open:
                    self._open[-1] += whole

        setattr(owner, method, watched)


class Programs:
    """When JAX's programs were computed: from the return of the call that set one off until its results are there."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._set_off: SimpleQueue[tuple[float, Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def watch(self, owner: Any, method: str, result: Callable[[Any], Any]) -> None:
        """Watches a compiled function; `result` picks an output that nothing donates."""
        call: Callable[..., Any] = getattr(owner, method)

        def watched(*arguments: Any) -> Any:
            given = call(*arguments)
            self._set_off.put((time.perf_counter(), result(given)))
            return given

        setattr(owner, method, watched)

    def close(self) -> None:
        """Waits for the last program."""
        self._set_off.put(None)
        self._thread.join()

    def _wait(self) -> None:
        while (entry := self._set_off.get()) is not None:
            begin, result = entry
            jax.block_until_ready(result)
            self.spans.append((begin, time.perf_counter()))


def union(spans: list[Span]) -> float:
    """Seconds that at least one of the intervals covers."""
    covered, end = 0.0, -math.inf
    for left, right in sorted(spans):
        covered += max(0.0, right - max(left, end))
        end = max(end, right)
    return covered


def processor_times() -> dict[str, float]:
    """CPU seconds of XLA's threads, of worker processes, and of other threads than Python's (the simulators')."""
    python = {thread.native_id for thread in threading.enumerate()}
    seconds = {"XLA": 0.0, "others": 0.0}
    for thread in psutil.Process().threads():
        if thread.id not in python:
            name = Path(f"/proc/self/task/{thread.id}/comm").read_text()  # Linux
            seconds["XLA" if name.startswith("tf_") else "others"] += thread.user_time + thread.system_time
    children = psutil.Process().children(recursive=True)
    return {**seconds, "workers": sum(sum(child.cpu_times()[:2]) for child in children)}


def watched_parts(loop: OnlineTrainer) -> Parts:
    """Watches all parts of the loop's step."""
    parts, session = Parts(), loop.sessions[0]
    for engine in session.stepper._engines:
        pools = getattr(engine, "_pools", None)
        for owner in [engine] if pools is None else [pool._pool for pool in pools.values()]:
            parts.watch(owner, "send", "simulators")
            parts.watch(owner, "recv", "simulators")
    parts.watch(loop.agent, "_act", "JAX: dispatch of act")
    parts.watch(loop.agent, "_update", "JAX: dispatch of update")
    parts.watch(session.stepper, "send", "stepping: actions")
    parts.watch(session.stepper, "recv", "stepping: results")
    parts.watch(session.replay, "sample", "replay: draw")
    parts.watch(session.replay, "insert", "replay: insert")
    parts.watch(session.bounds, "update", "statistics")
    parts.watch(session.episodes, "update", "statistics")
    parts.watch(loop, "metrics", "logging")
    parts.watch(loop, "_advance_once", "the rest: keys, waiting, the loop itself")
    return parts


def take_turns(loop: OnlineTrainer, rounds: int, steps: int) -> dict[type[OnlineTrainer], list[float]]:
    """Milliseconds per step in each block of both kinds of loop."""
    times: dict[type[OnlineTrainer], list[float]] = {OnlineTrainer: [], OneAfterTheOther: []}
    for turn in range(rounds):
        for kind in sorted(times, key=lambda kind: (kind is OnlineTrainer) == bool(turn % 2)):
            begin = time.perf_counter()
            for _ in range(steps):
                kind._advance_once(loop)
            jax.block_until_ready(loop.sessions[0].state)
            times[kind].append((time.perf_counter() - begin) / steps * 1e3)
    return times


@dataclasses.dataclass(frozen=True)
class Profile:
    """Of PROFILED steps: seconds of wall time by what ran, CPU seconds by who computed, and the main thread's parts."""

    wall: dict[str, float]
    cpu: dict[str, float]
    parts: dict[str, float]


def profile(loop: OnlineTrainer) -> Profile:
    """Profiles polytask's loop."""
    programs = Programs()
    programs.watch(loop.agent, "_update", lambda given: given[1])
    programs.watch(loop.agent, "_act", lambda given: given)
    parts = watched_parts(loop)
    before, begin = processor_times(), time.perf_counter()
    for _ in range(PROFILED):
        loop._advance_once()
    jax.block_until_ready(loop.sessions[0].state)
    wall = time.perf_counter() - begin
    spent = {name: seconds - before[name] for name, seconds in processor_times().items()}
    programs.close()
    xla, either = union(programs.spans), union([*programs.spans, *parts.spans["simulators"]])
    calls = parts.spent["simulators"]
    rest = sum(parts.spent.values()) - calls
    for _ in range(10):
        loop.metrics()
    parts.spent["logging"] *= PROFILED / loop.config.log_every / 10
    return Profile(
        {"XLA": xla, "simulators, while no program runs": either - xla, "everything else": wall - either},
        {"XLA": spent["XLA"], "simulators": spent["others"] + spent["workers"] + calls, "everything else": rest},
        parts.spent,
    )


def shares(title: str, seconds: dict[str, float]) -> None:
    """Prints a table of percentages."""
    whole = sum(seconds.values())
    print(f"| {title} | % | ms per step |\n|---|---|---|")
    for name, spent in seconds.items():
        print(f"| {name} | {spent / whole:.1%} | {spent / PROFILED * 1e3:.3f} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="Profiles the training loop.")
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40, help="vector steps in a block")
    arguments = parser.parse_args()
    keep_compiled()
    tasks = resolve(arguments.tasks)
    agent_config = BRCConfig(critic_width=arguments.width)
    config = TrainConfig(tasks.names, agent_config, steps=10**6, warmup_steps=tasks.horizon + 50, tensorboard=False)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = Path(folder)
        loop = OnlineTrainer(config, {config.seed: run})
        loop.start(None, print)
        loop.advance(config.warmup_steps + 5, lambda step: False)
        (session,) = loop.sessions
        jax.block_until_ready(session.state)
        times = take_turns(loop, arguments.rounds, arguments.steps)
        loop.metrics()  # compiles what it needs
        found = profile(loop)
        loop.close()

    ours, other = times[OnlineTrainer], times[OneAfterTheOther]
    pairs = statistics.median(b / a for a, b in zip(ours, other, strict=True))
    print("| a step of all tasks, ms | median | minimum |\n|---|---|---|")
    print(f"| simulators and update together | {statistics.median(ours):.2f} | {min(ours):.2f} |")
    print(f"| one after the other | {statistics.median(other):.2f} | {min(other):.2f} |")
    print(f"| ratio | {pairs:.3f} | {min(other) / min(ours):.3f} |\n")
    shares("share of the wall time", found.wall)
    shares("share of the CPU time, all threads", found.cpu)
    print("| part of a step, CPU of the main thread | ms |\n|---|---|")
    for name, spent in sorted(found.parts.items(), key=lambda item: -item[1]):
        print(f"| {name} | {spent / PROFILED * 1e3:.3f} |")
    outside = [spent for name, spent in found.parts.items() if name != "simulators" and not name.startswith("JAX")]
    print(f"| together, without simulators and JAX | {sum(outside) / PROFILED * 1e3:.3f} |")


if __name__ == "__main__":
    main()
