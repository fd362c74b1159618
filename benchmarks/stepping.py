"""How fast are all tasks stepped, beside what a person would otherwise use? Prints a table for docs/performance.md.

    python benchmarks/stepping.py metaworld/mt10         # about half a minute each
    python benchmarks/stepping.py metaworld/mt50
    python benchmarks/stepping.py dmc/dog-run dmc/dog-walk dmc/humanoid-run dmc/humanoid-walk

Ours is what `polytask train` steps with. Against it stand, for a set of Meta-World, the official vector environment
(`gym.make_vec`, one process, all of its wrappers), and everywhere the official environments stepped in a plain loop.
All are built before the first is timed, and take turns, so that a machine that grows slower is slower for all. The same
random actions are given to all. "CPU" is what a vector step cost over all processes and threads; on a machine with
nothing else to do, the time by the clock is about that, shared out over the cores that an engine uses.
"""

import argparse
import dataclasses
import statistics
import time
import warnings
from collections.abc import Callable

import gymnasium
import numpy as np
import psutil

from polytask.stepping import make_stepper
from polytask.tasks import TaskSet, resolve
from polytask.tasks.registry import build_env

Step = Callable[[np.ndarray], object]


def official_loop(tasks: TaskSet) -> Step:
    """The official environments, one after another; an episode that ends is followed by the next."""
    environments = [build_env(spec, 0) for spec in tasks]
    for environment in environments:
        environment.reset()
    sizes = [spec.action_dim for spec in tasks]

    def step(actions: np.ndarray) -> None:
        for environment, action, size in zip(environments, actions, sizes, strict=True):
            _, _, terminated, truncated, _ = environment.step(action[:size])
            if terminated or truncated:
                environment.reset()

    return step


def official_vector(suite: str) -> Step:
    """Meta-World's vector environment of a set."""
    import metaworld  # noqa: F401  registers it

    environment = gymnasium.make_vec(f"Meta-World/{suite.upper()}", vector_strategy="sync", seed=0)
    environment.reset()
    return environment.step


def processor_time() -> float:
    """Seconds of CPU of this process and its workers."""
    own = psutil.Process()
    processes = [own, *own.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@dataclasses.dataclass
class Measured:
    """Of each block: milliseconds for a vector step, by the clock and of CPU."""

    step: Step
    clock: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)

    def block(self, actions: np.ndarray) -> None:
        """Times one vector step for each row of `actions`."""
        begin, spent = time.perf_counter(), processor_time()
        for row in actions:
            self.step(row)
        self.clock.append((time.perf_counter() - begin) / len(actions) * 1e3)
        self.cpu.append((processor_time() - spent) / len(actions) * 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares stepping with the official environments.")
    parser.add_argument("tasks", nargs="+", help="a set of Meta-World, or tasks of Meta-World and DeepMind Control")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100, help="vector steps in a block")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # dm_control calls what NumPy has deprecated
    tasks = resolve(arguments.tasks)

    begin = time.perf_counter()
    stepper = make_stepper(tasks, goal_seed=0)
    stepper.reset(0)
    started = time.perf_counter() - begin
    engines = {"polytask": Measured(stepper.step)}
    suite = arguments.tasks[0].removeprefix("metaworld/")
    if suite in ("mt10", "mt50"):
        engines["official vector environment"] = Measured(official_vector(suite))
    engines["official environments in a loop"] = Measured(official_loop(tasks))

    draws = np.random.default_rng(0)
    for turn in range(arguments.rounds + 1):
        actions = draws.uniform(-1, 1, (arguments.steps, len(tasks), tasks.action_dim)).astype(np.float32)
        for engine in engines.values():
            engine.block(actions[: arguments.steps if turn else 10])
    stepper.close()

    kinds = [spec.engine for spec in tasks]
    counts = ", ".join(f"{kinds.count(kind)} by {kind}" for kind in dict.fromkeys(kinds))
    print(f"{len(tasks)} tasks ({counts}); simulators started in {started:.2f} s; {arguments.rounds} blocks\n")
    print(
        "| engine | steps/s, median | maximum | CPU ms per vector step | ours is faster by, median of pairs | minima |"
    )
    print("|---|---|---|---|---|---|")
    ours = engines["polytask"]
    for name, engine in engines.items():
        clock, cpu = engine.clock[1:], engine.cpu[1:]  # the first block is warm-up
        pairs = statistics.median(theirs / mine for theirs, mine in zip(clock, ours.clock[1:], strict=True))
        rates = f"{len(tasks) * 1e3 / statistics.median(clock):,.0f} | {len(tasks) * 1e3 / min(clock):,.0f}"
        faster = f"{pairs:.2f} | {min(clock) / min(ours.clock[1:]):.2f}"
        print(f"| {name} | {rates} | {statistics.median(cpu):.2f} | {faster} |")


if __name__ == "__main__":
    main()
