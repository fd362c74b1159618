"""Where does a training step's time go, and what is gained by stepping the simulators while the update runs?

    python benchmarks/loop.py metaworld/mt10             # about a minute

Two loops take turns in blocks, on one agent and one replay: polytask's, which sends the actions off, sets off the
update and then waits for the simulators; and one that does one after the other. The second table is what the main
thread computes in each part of a step, simulators' and JAX's own calls apart: what a step costs beyond simulators and
XLA. Most of it falls into the time of the update.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from polytask.agents.config import BRCConfig
from polytask.agents.factory import make_agent
from polytask.runtime.compilation import keep_compiled
from polytask.runtime.config import TrainConfig
from polytask.runtime.folder import RunFolder
from polytask.runtime.loggers import make_loggers
from polytask.runtime.progress import Progress
from polytask.runtime.session import Session
from polytask.runtime.training import Loop
from polytask.stepping import make_stepper
from polytask.tasks import resolve


class OneAfterTheOther(Loop):
    """The same step without overlap."""

    def advance(self) -> None:
        session = self.session
        step = session.step + 1
        session.send(self.policy_actions(step))
        session.receive()
        self.learn(step)


class Parts:
    """CPU time of the main thread in nested calls, each call's own time apart."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._open: list[float] = []

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Counts the calls of a method under `name`."""
        call: Callable[..., Any] = getattr(owner, method)

        def watched(*arguments: Any, **named: Any) -> Any:
            begin = time.thread_time()
            self._open.append(0.0)
            try:
                return call(*arguments, **named)
            finally:
                whole, inner = time.thread_time() - begin, self._open.pop()
                self.spent[name] += whole - inner
                if self._open:
                    self._open[-1] += whole

        setattr(owner, method, watched)


def watched_parts(loop: Loop) -> Parts:
    """Watches all parts of the loop's step."""
    parts, session = Parts(), loop.session
    for pool in (pool for engine in session.stepper._engines for pool in getattr(engine, "_pools", {}).values()):
        parts.watch(pool._pool, "send", "simulators")
        parts.watch(pool._pool, "recv", "simulators")
    parts.watch(loop.agent, "_act", "JAX: dispatch of act")
    parts.watch(loop.agent, "_update", "JAX: dispatch of update")
    parts.watch(session.stepper, "send", "stepping: actions")
    parts.watch(session.stepper, "recv", "stepping: results")
    parts.watch(session.replay, "sample", "replay: draw")
    parts.watch(session.replay, "insert", "replay: insert")
    parts.watch(session.bounds, "update", "statistics")
    parts.watch(session.episodes, "update", "statistics")
    parts.watch(loop, "log", "logging")
    parts.watch(loop, "advance", "the rest: keys, waiting, the loop itself")
    return parts


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
    stepper = make_stepper(tasks, goal_seed=0)
    times: dict[type[Loop], list[float]] = {Loop: [], OneAfterTheOther: []}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = Path(folder)
        session = Session(config, tasks, make_agent(config.agent, tasks), stepper, run)
        session.begin()
        loop = Loop(session, stepper, make_loggers(run, {}, False, False), Progress(config.steps), RunFolder(run))
        while session.step < config.warmup_steps + 5:
            loop.advance()
        jax.block_until_ready(session.state)
        for turn in range(arguments.rounds):
            for kind in sorted(times, key=lambda kind: (kind is Loop) == bool(turn % 2)):
                begin = time.perf_counter()
                for _ in range(arguments.steps):
                    kind.advance(loop)
                jax.block_until_ready(session.state)
                times[kind].append((time.perf_counter() - begin) / arguments.steps * 1e3)
        loop.log()  # compiles what it needs
        parts = watched_parts(loop)
        for _ in range(200):
            loop.advance()
        jax.block_until_ready(session.state)
        for _ in range(10):
            loop.log()  # ten times, to be scaled to how often it is done
        stepper.close()

    ours, other = times[Loop], times[OneAfterTheOther]
    pairs = statistics.median(b / a for a, b in zip(ours, other, strict=True))
    print("| a step of all tasks, ms | median | minimum |\n|---|---|---|")
    print(f"| simulators and update together | {statistics.median(ours):.2f} | {min(ours):.2f} |")
    print(f"| one after the other | {statistics.median(other):.2f} | {min(other):.2f} |")
    print(f"| ratio | {pairs:.3f} | {min(other) / min(ours):.3f} |\n")
    parts.spent["logging"] *= 200 / config.log_every / 10
    print("| part of a step, CPU of the main thread | ms |\n|---|---|")
    for name, spent in sorted(parts.spent.items(), key=lambda item: -item[1]):
        print(f"| {name} | {spent / 200 * 1e3:.3f} |")
    beyond = sum(spent for name, spent in parts.spent.items() if name != "simulators" and not name.startswith("JAX"))
    print(f"| together, without simulators and JAX | {beyond / 200 * 1e3:.3f} |")


if __name__ == "__main__":
    main()
