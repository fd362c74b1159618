"""What does a step cost in actors of Ray, beside worker processes? Prints a table for docs/scaling.md.

    python benchmarks/remote.py gym/Pendulum-v1 gym/MountainCarContinuous-v0 gym/CartPole-v1 gym/Acrobot-v1

Both engines have one worker with all tasks and take turns, with the same actions. "CPU" is what a vector step cost over
all processes; by the clock it takes at least the round trip of one message, which is measured by itself: an actor that
returns at once. Bytes are those of the messages as they are pickled.
"""

import argparse
import pickle
import statistics
import time

import numpy as np
import psutil
from stepping import Measured

from polytask.cluster import connected
from polytask.stepping.process import ProcessEngine
from polytask.stepping.remote import RayEngine
from polytask.stepping.stepper import EngineStepper
from polytask.tasks import resolve


def round_trips(ray, count: int) -> list[float]:
    """Milliseconds of calls of an actor that does nothing."""

    class Idle:
        def call(self) -> None:
            pass

    idle = ray.remote(num_cpus=0)(Idle).remote()
    ray.get(idle.call.remote())
    found = []
    for _ in range(count):
        begin = time.perf_counter()
        ray.get(idle.call.remote())
        found.append((time.perf_counter() - begin) * 1e3)
    ray.kill(idle)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares the Ray engine with the process engine.")
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50, help="vector steps in a block")
    arguments = parser.parse_args()
    tasks = resolve(arguments.tasks)
    members = dict(enumerate(tasks))
    begin = time.perf_counter()
    with connected() as ray:
        started = time.perf_counter() - begin
        engines = {"process": ProcessEngine(members, workers=1), "ray": RayEngine(members, workers=1)}
        steppers = {name: EngineStepper(tasks, [engine], goal_seed=0) for name, engine in engines.items()}
        for stepper in steppers.values():
            stepper.reset(0)
        measured = {name: Measured(stepper.step) for name, stepper in steppers.items()}
        draws = np.random.default_rng(0)
        for turn in range(arguments.rounds + 1):
            actions = draws.uniform(-1, 1, (arguments.steps, len(tasks), tasks.action_width)).astype(np.float32)
            actions[..., tasks.action_dim :] = 0
            for engine in measured.values():
                engine.block(actions[: arguments.steps if turn else 5])
        trips = round_trips(ray, 100)
        engines["process"].send([np.zeros(spec.action_dim, np.float32) for spec in tasks])
        answer = len(pickle.dumps(engines["process"].recv()[0]))
        for stepper in steppers.values():
            stepper.close()
    cores = len(psutil.Process().cpu_affinity())
    about = f"{len(tasks)} tasks, {cores} cores; Ray started in {started:.1f} s; an answer has {answer:,} bytes"
    print(f"{about}; a round trip takes {statistics.median(trips):.2f} ms ({min(trips):.2f} to {max(trips):.2f})\n")
    print("| engine | ms per vector step, median | minimum | CPU ms per vector step, median |\n|---|---|---|---|")
    for name, engine in measured.items():
        clock, cpu = engine.clock[1:], engine.cpu[1:]
        print(f"| {name} | {statistics.median(clock):.2f} | {min(clock):.2f} | {statistics.median(cpu):.2f} |")


if __name__ == "__main__":
    main()
