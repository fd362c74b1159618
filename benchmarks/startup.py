"""How long from the command to the first gradient step, to help, and to simulators that are ready?

    python benchmarks/startup.py metaworld/mt10 --repeats 3          # about two minutes

Every figure is of a process of its own, started as a person would start it. "cold" has an empty compilation cache,
"warm" the cache that the run before it has left; both lie in a temporary folder. "CPU" is what the process computed in
that time, over all its threads: on a busy machine it says more than the clock does.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from polytask.speed import start_stages

START = """
import json, sys, time
import gymnasium, jax, numpy
begin = time.perf_counter()
"""
OURS = """
from polytask.stepping import make_stepper
from polytask.tasks import resolve
stepper = make_stepper(resolve([sys.argv[1]]), goal_seed=0)
stepper.reset(0)
print(time.perf_counter() - begin)
"""
OFFICIAL = """
import warnings
warnings.simplefilter("ignore")
import metaworld
suite = sys.argv[1].split("/")[1].upper()
gymnasium.make_vec(f"Meta-World/{suite}", vector_strategy="sync", seed=0).reset()
print(time.perf_counter() - begin)
"""


def seconds(*command: str) -> float:
    """How long a command takes."""
    begin = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - begin


def simulators(tasks: str, code: str) -> float:
    """How long simulators take to import, to build and to reset, beside Gymnasium and JAX."""
    command = [sys.executable, "-c", START + code, tasks]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def row(name: str, values: list[float]) -> str:
    """A line of the table: median and minimum."""
    return f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures start-up.")
    parser.add_argument("tasks", nargs="?", default="metaworld/mt10")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    tasks = arguments.tasks

    runs: dict[str, list[dict[str, tuple[float, float]]]] = {"cold": [], "warm": []}
    others: dict[str, list[float]] = {"`polytask --help`": [], f"simulators of {tasks}": []}
    official = tasks.split("/")[1] in ("mt10", "mt25", "mt50")
    if official:
        others[f"official vector environment of {tasks}"] = []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as cache:
            for kind in runs:
                runs[kind].append(start_stages(tasks, Path(cache)))
        others["`polytask --help`"].append(seconds(sys.executable, "-m", "polytask", "--help"))
        others[f"simulators of {tasks}"].append(simulators(tasks, OURS))
        if official:
            others[f"official vector environment of {tasks}"].append(simulators(tasks, OFFICIAL))

    print("| seconds | median | minimum |\n|---|---|---|")
    for kind, measured in runs.items():
        for stage in measured[0]:
            print(row(f"{kind}: {stage}", [run[stage][0] for run in measured]))
        print(row(f"{kind}: first update, CPU", [run["first update"][1] for run in measured]))
    for name, values in others.items():
        print(row(name, values))


if __name__ == "__main__":
    main()
