"""What grows with the networks' width, the batch and the number of tasks? Figures as JSON, and plots for the docs.

    python benchmarks/scaling.py --output benchmarks/scaling.json --images docs/images     # about four minutes
    python benchmarks/scaling.py --plot benchmarks/scaling.json --images docs/images       # only the plots, of a file

1. The time of a gradient step by width (128 to 2048) and batch (256, 1024), at MT10's sizes.
2. By the number of tasks (1, 10, 50, and 500 synthetic ones; Meta-World's sizes, width and batch 256): the gradient
   step, a step of all tasks without an update (random actions, almost empty simulators, replay, statistics), drawing
   two batches, one line of the log, one checkpoint, start-up and resident memory; each number in a process of its own.
3. Start-up and memory with the simulators of Meta-World, 1, 10 and 50 tasks.

For everything that depends on the tasks it prints the slope between 10 and 500 tasks on logarithmic axes: 0 is
constant, 1 linear. It ends with status 1 if a slope is above 1.1.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTS = (1, 10, 50, 500)
SUITES = {1: "metaworld/reach-v3", 10: "metaworld/mt10", 50: "metaworld/mt50"}
QUANTITIES = {
    "update": "gradient step, ms",
    "step": "step of all tasks without update, ms",
    "draw": "drawing two batches, ms",
    "log": "a line of the log, ms",
    "checkpoint": "a checkpoint, ms",
    "start": "start-up, s",
    "memory": "memory, MB",
}
LINEAR = 1.1  # a slope up to this counts as linear: figures have noise


def update_by_width(widths: list[int], batches: list[int], budget: float) -> list[dict[str, Any]]:
    """Milliseconds of a gradient step at each size."""
    import jax

    from polytask.agents.config import BRCConfig
    from polytask.runs.compilation import keep_compiled
    from polytask.speed import TASKS, blocks, seconds, update_call
    from polytask.tasks import resolve

    keep_compiled()
    rows, tasks = [], resolve([TASKS])
    for width, batch in itertools.product(widths, batches):
        config = BRCConfig(critic_width=width, batch_size=batch)
        call = update_call(config, tasks)
        seconds(call)
        times = [1e3 * taken / config.updates_per_step for taken in blocks(call, budget, least=3)]
        rows.append({"width": width, "batch": batch, "update": min(times), "median": statistics.median(times)})
        print(f"width {width}, batch {batch}: {min(times):.1f} ms (median {statistics.median(times):.1f})", flush=True)
        del call
        jax.clear_caches()
    return rows


def fastest(function: Callable[[], Any], repeats: int) -> float:
    """The best of some calls, in milliseconds."""
    from polytask.speed import seconds

    return 1e3 * min(seconds(function) for _ in range(repeats))


def machinery(names: list[str], budget: float) -> dict[str, float]:
    """All QUANTITIES for these tasks; `start` is from the start of this process until everything is ready to step."""
    import numpy as np
    import psutil

    from polytask.agents.config import BRCConfig
    from polytask.online.config import TrainConfig
    from polytask.online.trainer import OnlineTrainer
    from polytask.runs import checkpoint
    from polytask.runs.compilation import keep_compiled
    from polytask.speed import blocks, seconds, update_call
    from polytask.tasks import resolve
    from polytask.tasks.options import TaskOptions

    keep_compiled()
    tasks = resolve(names, TaskOptions(horizon=200))
    config = TrainConfig(tasks.names, BRCConfig(), steps=1000, warmup_steps=1000, tensorboard=False)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        trainer = OnlineTrainer(config, {0: run})
        trainer.start(None, print)
        (session,) = trainer.sessions
        own = psutil.Process()
        found = {"start": time.time() - own.create_time()}
        trainer.advance(210, lambda step: False)  # every task has ended an episode
        found["memory"] = sum(process.memory_info().rss for process in [own, *own.children(recursive=True)]) / 1e6
        found["step"] = fastest(lambda: trainer.advance(trainer.step + 5, lambda step: False), 20) / 5
        draws = np.random.default_rng(0)
        found["draw"] = fastest(lambda: session.replay.sample(2, 256, draws) and None, 50)
        session.step = config.warmup_steps  # from here on a log has the losses of every task
        trainer.metrics()
        found["log"] = fastest(trainer.metrics, 3)
        session.step = 500
        found["checkpoint"] = fastest(lambda: checkpoint.save(run, 500, *session.saved()), 1)
        trainer.close()
    call = update_call(config.agent, tasks)
    seconds(call)
    found["update"] = 1e3 * min(blocks(call, budget, least=3)) / config.agent.updates_per_step
    return found


def in_own_process(names: list[str], budget: float) -> dict[str, float]:
    """`machinery`, in a process of its own."""
    command = [sys.executable, __file__, "--one", *names, "--budget", str(budget)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"measuring {len(names)} tasks failed:\n{done.stderr.strip()}")
    return json.loads(done.stdout.rpartition("FOUND")[2])


def by_tasks(named: dict[int, list[str]], budget: float) -> list[dict[str, Any]]:
    """A row for every number of tasks."""
    rows = []
    for count, names in named.items():
        rows.append({"tasks": count, **in_own_process(names, budget)})
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    return rows


def slopes(rows: list[dict[str, Any]]) -> dict[str, float]:
    """By least squares, d log(quantity) / d log(tasks) from 10 tasks on."""
    import numpy as np

    rows = [row for row in rows if row["tasks"] >= 10]
    tasks = np.log([row["tasks"] for row in rows])
    return {name: float(np.polyfit(tasks, np.log([row[name] for row in rows]), 1)[0]) for name in QUANTITIES}


def plot(found: dict[str, Any], folder: Path) -> None:
    """Writes performance-update.png, performance-tasks.png and performance-start.png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)

    def finish(figure: Any, name: str, **legend: Any) -> None:
        for axes in figure.axes:
            axes.grid(True, which="major", alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=9, **legend)
        figure.savefig(folder / f"performance-{name}.png", dpi=150)
        plt.close(figure)

    def logarithmic(axes: Any, ticks: list[int], xlabel: str, ylabel: str) -> None:
        axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()

    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    for batch in sorted({row["batch"] for row in found["widths"]}):
        rows = [row for row in found["widths"] if row["batch"] == batch]
        axes.plot([row["width"] for row in rows], [row["update"] for row in rows], "o-", label=f"batch {batch}")
    logarithmic(axes, sorted({row["width"] for row in found["widths"]}), "critics' width", "gradient step, ms")
    finish(figure, "update")

    rows, counts = found["tasks"], [row["tasks"] for row in found["tasks"]]
    figure, axes = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
    for name in ("update", "step", "draw", "log", "checkpoint"):
        label = f"{QUANTITIES[name].removesuffix(', ms')} (slope {found['slopes'][name]:.2f})"
        axes.plot(counts, [row[name] for row in rows], "o-", label=label)
    low = min(row["step"] for row in rows)
    axes.plot([10, 500], [low, 50 * low], "--", color="grey", label="linear")
    logarithmic(axes, counts, "tasks (synthetic)", "ms")
    finish(figure, "tasks", loc="upper left", bbox_to_anchor=(1, 1))

    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    for axes, name in zip(panels, ("start", "memory"), strict=True):
        for label, kind in (("synthetic tasks", "tasks"), ("Meta-World", "suites")):
            axes.plot([row["tasks"] for row in found[kind]], [row[name] for row in found[kind]], "o-", label=label)
        axes.set(xlabel="tasks", ylabel=QUANTITIES[name], ylim=(0, None))
    finish(figure, "start")


def report(found: dict[str, Any]) -> bool:
    """Prints what depends on the tasks; whether nothing grows faster than linearly."""
    print("\n| | " + " | ".join(f"{row['tasks']} tasks" for row in found["tasks"]) + " | slope from 10 tasks on |")
    print("|---|" + "---|" * (len(found["tasks"]) + 1))
    for name, title in QUANTITIES.items():
        values = " | ".join(f"{row[name]:.4g}" for row in found["tasks"])
        print(f"| {title} | {values} | {found['slopes'][name]:.2f} |")
    for row in found["suites"]:
        print(f"\nMeta-World, {row['tasks']}: start-up {row['start']:.2f} s, {row['memory']:.0f} MB", end="")
    beyond = [name for name, slope in found["slopes"].items() if slope > LINEAR]
    print(
        "\n\n"
        + (f"Faster than linearly grows: {', '.join(beyond)}" if beyond else "Nothing grows faster than linearly.")
    )
    return not beyond


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="of synthetic tasks")
    parser.add_argument("--suites", type=int, nargs="*", default=tuple(SUITES), help="of Meta-World: 1, 10, 50")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds of timing for each size")
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    parser.add_argument("--images", type=Path, help="a folder for the plots")
    parser.add_argument("--plot", type=Path, help="measure nothing: take the figures of this file")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print("FOUND" + json.dumps(machinery(given.one, given.budget)))
        return
    if given.plot:
        found = json.loads(given.plot.read_text())
    else:
        from common import facts, save
        from synthetic import names

        found = facts()
        found["tasks"] = by_tasks({count: names(count) for count in given.counts}, given.budget)
        found["slopes"] = slopes(found["tasks"])
        found["suites"] = by_tasks({count: [SUITES[count]] for count in given.suites}, given.budget)
        found["widths"] = update_by_width(given.widths, given.batches, given.budget)
        save(given.output, found)
    if given.images:
        plot(found, given.images)
    sys.exit(0 if report(found) else 1)


if __name__ == "__main__":
    main()
