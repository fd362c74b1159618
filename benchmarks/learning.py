"""What makes small agents learn: variants of `polytask train`, side by side. Prints a table for docs/results.md.

    python benchmarks/learning.py train runs/learning mt10 --variants cpu one-step held --seeds 0 1 2 --jobs 2
    python benchmarks/learning.py table runs/learning mt10

A variant is a name in `VARIANTS` and the flags that it stands for, beside preset cpu or in its place. A run that has
ended is not trained again, and one that was stopped goes on, so a series can be added to at any time. Each run has one
core to itself: with more threads than free cores XLA waits for itself, and a step takes several times as long. The
table has the mean score over the tasks at each evaluation, for each variant as the mean over its seeds with the lowest
and highest of them.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from rich.console import Console
from rich.table import Table

from polytask.runs import RunFolder

DMC = [f"dmc/{name}" for name in ("cartpole-swingup", "cheetah-run", "walker-walk", "finger-spin", "reacher-easy")]
TASKS = {
    "mt10": ["metaworld/mt10"],
    "hard": [f"metaworld/{name}-v3" for name in ("push", "pick-place", "peg-insert-side")],
    "drawer": ["metaworld/drawer-open-v3", "--agent.batch-size", "64"],
    "walker": ["dmc/walker-walk", "--agent.batch-size", "128"],
    "dmc5": DMC,
}
VARIANTS = {
    "cpu": "",
    "official": "--preset paper --agent.critic-width 256 --agent.batch-size 256 --policy-average 1000",
    "one-step": "--agent.n-step 1",
    "five-step": "--agent.n-step 5",
    "one-temperature": "--agent.temperature shared",
    "raw-observations": "--agent.no-normalise-observations",
    "current-scale": "--agent.target-scale current",
    "uniform": "--task-sampling uniform",
    "held": "--exploration held",
    "two-critics": "--agent.ensemble 2",
    "width-64": "--agent.critic-width 64 --agent.actor-width 64",
    "width-256": "--agent.critic-width 256 --agent.actor-width 256",
    "soft-modules": "--agent.trunk soft-modules --agent.conditioning one-hot --agent.critic-width 256 "
    "--agent.critic-depth 2 --agent.actor-width 256 --agent.actor-depth 2",
    "multi-head-550": "--agent.trunk mlp --agent.conditioning one-hot-multi-head --agent.critic-width 550 "
    "--agent.critic-depth 3 --agent.actor-width 550 --agent.actor-depth 3",
    "half-batch": "--agent.batch-size 128",
    "double-batch": "--agent.batch-size 512",
}


def train(folder: Path, tasks: str, variants: list[str], seeds: list[int], steps: int, jobs: int) -> int:
    """Trains every variant with every seed that has not ended yet; returns how many failed."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0))[:jobs]:
        cores.put(core)
    polytask = [sys.executable, "-m", "polytask"]
    environment = {**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}

    def one(cell: tuple[int, str]) -> int:
        seed, variant = cell
        run = folder / tasks / f"{variant}-{seed}"
        run.parent.mkdir(parents=True, exist_ok=True)
        flags = [*VARIANTS[variant].split(), *TASKS[tasks], "--seed", str(seed), "--steps", str(steps)]
        core = cores.get()
        with (run.parent / f"{run.name}.log").open("a") as log:
            command = ["taskset", "-c", str(core), *polytask, "train", *flags, "--run", str(run)]
            code = subprocess.run(command, env=environment, stdout=log, stderr=log).returncode
        cores.put(core)
        print(f"{run}: {'ended' if code == 0 else f'failed with {code}, see {run}.log'}", flush=True)
        return code

    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(one, [(seed, variant) for seed in seeds for variant in variants]))
    return sum(code != 0 for code in codes)


def curves(folder: Path, variant: str) -> dict[int, list[float]]:
    """The mean score over the tasks at each evaluated step, one of each seed."""
    found: dict[int, list[float]] = {}
    for run in sorted(folder.glob(f"{variant}-[0-9]*/")):
        for record in RunFolder(run).read_evaluations():
            found.setdefault(record["step"], []).append(float(np.mean(list(record["task"]["score"].values()))))
    return found


def table(folder: Path) -> Table:
    """Steps by variants: the mean over the seeds, their range, and how many there are."""
    known = {name: curve for name in VARIANTS if (curve := curves(folder, name))}
    shown = Table("steps", *known)
    for step in sorted({step for curve in known.values() for step in curve}):
        cells = []
        for curve in known.values():
            scores = curve.get(step, [])
            spread = f" ({min(scores):.2f} to {max(scores):.2f}, n={len(scores)})" if len(scores) > 1 else ""
            cells.append(f"{np.mean(scores):.2f}{spread}" if scores else "")
        shown.add_row(f"{step:,}", *cells)
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "table"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path, help="where the runs lie")
        command.add_argument("tasks", choices=TASKS)
        if name == "train":
            command.add_argument("--variants", nargs="+", choices=VARIANTS, default=["cpu"])
            command.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
            command.add_argument("--steps", type=int, default=100_000)
            command.add_argument("--jobs", type=int, default=1, help="runs at once, each on a core of its own")
    asked = parser.parse_args()
    if asked.command == "table":
        Console().print(table(asked.folder / asked.tasks))
        return 0
    return train(asked.folder, asked.tasks, asked.variants, asked.seeds, asked.steps, asked.jobs)


if __name__ == "__main__":
    sys.exit(main())
