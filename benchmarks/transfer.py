"""What a trained agent gives to new tasks, beside learning them from nothing. Prints a table for docs/transfer.md.

    python benchmarks/transfer.py train runs/transfer --sets two five --seeds 0 1 2
    python benchmarks/transfer.py table runs/transfer

An agent of preset cpu learns eight tasks of MT10; from it the two others, or five tasks of MT25 that are not in MT10,
are learned together in each way of `WAYS`, and from nothing. The protocol is ours: that of the paper could not be had.
A run that has ended is not trained again, and one that was stopped goes on. Each run has one core, and they train one
after another.

The table has, for each way, the first evaluated step at which the new tasks' mean success is 0.5 or 0.9, as the mean
over the seeds that came there with the lowest and highest of them; the mean success at the last step; and by how much
the old tasks' mean success has changed.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from polytask.runs import RunFolder
from polytask.tasks.metaworld import MT10, MT25

SETS = {
    "two": ("door-open-v3", "drawer-open-v3"),
    "five": ("button-press-wall-v3", "faucet-open-v3", "door-lock-v3", "coffee-button-v3", "dial-turn-v3"),
}
SOURCE = tuple(task for task in MT10 if task not in SETS["two"])
WAYS = {
    "scratch": None,
    "full": "--transfer full",
    "frozen": "--transfer frozen",
    "heads": "--transfer frozen --agent.moving heads",
    "adapters": "--transfer adapters",
    "similar": "--transfer similar",
    "keep": "--transfer full --keep",
}
LEVELS = (0.5, 0.9)


def polytask(run: Path, flags: Sequence[str], core: int) -> int:
    """Trains a run on a core, unless it has ended; its output goes beside it."""
    run.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
    command = ["taskset", "-c", str(core), sys.executable, "-m", "polytask", "train", *flags, "--run", str(run)]
    with run.with_name(f"{run.name}.log").open("a") as log:
        code = subprocess.run(command, env=environment, stdout=log, stderr=log).returncode
    print(f"{run}: {'ended' if code == 0 else f'failed with {code}, see {run}.log'}", flush=True)
    return code


def named(tasks: Sequence[str]) -> list[str]:
    """The tasks' whole names."""
    return [f"metaworld/{task}" for task in tasks]


def train(folder: Path, asked: argparse.Namespace) -> int:
    """Trains the sources, then each set in each way; returns how many runs failed."""
    failed = 0
    often = ["--eval-every", str(asked.eval_every), "--eval-episodes", str(asked.eval_episodes), "--no-tensorboard"]
    often += ["--warmup-steps", str(asked.warmup), "--checkpoint-every", str(asked.eval_every)]
    for seed in asked.seeds:
        own = ["--seed", str(seed), *often]
        source = folder / f"source-{seed}"
        if polytask(source, [*named(SOURCE), "--steps", str(asked.source_steps), *own], asked.core):
            failed += 1
            continue
        for name in asked.sets:
            for way in asked.ways:
                begin = [] if WAYS[way] is None else ["--from", str(source), *WAYS[way].split()]
                flags = [*named(SETS[name]), *begin, "--steps", str(asked.steps), *own]
                failed += polytask(folder / name / f"{way}-{seed}", flags, asked.core) != 0
    return failed


def scores(run: Path, tasks: Sequence[str]) -> dict[int, float]:
    """The mean success of tasks at each evaluation."""
    records = RunFolder(run).read_evaluations()
    return {one["step"]: float(np.mean([one["task"]["score"][name] for name in named(tasks)])) for one in records}


def forgotten(run: Path, source: Path) -> float | None:
    """How the old tasks' mean success has changed: in forgotten.json, or where they were kept by the evaluations."""
    file = run / "forgotten.json"
    if file.exists():
        tasks = json.loads(file.read_text())["task"].values()
        return float(np.mean([one["after"]["score"] - one["before"]["score"] for one in tasks]))
    last = RunFolder(run).read_evaluations()[-1]
    if f"metaworld/{SOURCE[0]}" not in last["task"]["score"]:
        return None
    before, after = (list(scores(one, SOURCE).values())[-1] for one in (source, run))
    return after - before


def spread(values: Sequence[float], of: int, digits: int = 2) -> str:
    """A mean with its range, and how many of the seeds it is over where it is not all."""
    if not values:
        return "–"
    low, high = min(values), max(values)
    some = f", {len(values)} of {of}" if len(values) < of else ""
    return f"{np.mean(values):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f}{some})"


def table(folder: Path, name: str) -> Table:
    """Ways by what came of them."""
    heads = [f"steps to {level}" for level in LEVELS]
    shown = Table("way", *heads, "at the end", "old tasks", title=f"{name}: {', '.join(SETS[name])}")
    for way in WAYS:
        runs = [run for run in sorted((folder / name).glob(f"{way}-[0-9]*/")) if RunFolder(run).read_evaluations()]
        if not runs:
            continue
        found = [scores(run, SETS[name]) for run in runs]
        cells = []
        for level in LEVELS:
            first = [min(steps) for own in found if (steps := [step for step, value in own.items() if value >= level])]
            cells.append(spread(first, len(runs), digits=0))
        changes = [forgotten(run, folder / f"source-{run.name.rpartition('-')[2]}") for run in runs]
        known = [change for change in changes if change is not None]
        ends = [own[max(own)] for own in found]
        shown.add_row(way, *cells, spread(ends, len(runs)), spread(known, len(runs)))
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "table"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path, help="where the runs lie")
        command.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
        if name == "train":
            command.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
            command.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
            command.add_argument("--source-steps", type=int, default=100_000, help="of each of the eight tasks")
            command.add_argument("--steps", type=int, default=50_000, help="of each new task")
            command.add_argument("--warmup", type=int, default=2_000, help="the first steps, at random")
            command.add_argument("--eval-every", type=int, default=2_500)
            command.add_argument("--eval-episodes", type=int, default=10)
            command.add_argument("--core", type=int, default=0)
    asked = parser.parse_args()
    assert set(SETS["two"]) <= set(MT10)
    assert set(SETS["five"]) <= set(MT25) - set(MT10)
    if asked.command == "train":
        return train(asked.folder, asked)
    for name in asked.sets:
        Console().print(table(asked.folder, name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
