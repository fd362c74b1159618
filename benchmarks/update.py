"""One gradient step of BRC, ours beside the official code, in alternating pairs within one process.

    git clone https://github.com/naumix/BiggerRegularizedCategorical official
    pip install -e . flax distrax
    python benchmarks/update.py --official official          # all ten sizes: about five minutes

Without --official only ours is timed. Sizes are those of MT10: observation 39, action 4, 10 tasks, 101 bins, 2 critics;
each call makes two gradient steps, as a training does. "of peak" counts the networks' own multiplications against the
fastest of several float32 matrix products of this very process. Both keep freed memory, as the command line does;
with MALLOC_ARENA_MAX=16 in the environment the C library stays as it is. The table is Markdown; --output keeps JSON.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from common import facts, official_agent, save

from polytask.agents.config import BRCConfig
from polytask.machine import keep_freed_memory
from polytask.runs.compilation import keep_compiled
from polytask.speed import TASKS, matmul_peak, multiplications, random_batches, seconds, update_call
from polytask.tasks import TaskSet, resolve

LEAST = 3  # pairs, however long they take


def official_call(folder: Path, config: BRCConfig, tasks: TaskSet) -> Callable[[], Any]:
    """As `update_call`, of the official agent."""
    agent = official_agent(folder, config, tasks)
    from jaxrl.utils import Batch

    batches = Batch(*random_batches(config, tasks))

    def call() -> Any:
        info = agent.update(batches, config.updates_per_step, 0)
        return agent.critic.params, agent.actor.params, info

    return call


def measure(calls: dict[str, Callable[[], Any]], updates: int, budget: float) -> dict[str, list[float]]:
    """Milliseconds per gradient step, in pairs whose order alternates, for about `budget` seconds."""
    for call in calls.values():
        seconds(call)
    times: dict[str, list[float]] = {name: [] for name in calls}
    end, names = time.perf_counter() + budget, list(calls)
    while len(times["ours"]) < LEAST or time.perf_counter() < end:
        for name in names:
            times[name].append(1e3 * seconds(calls[name]) / updates)
        names.reverse()
    return times


def summary(config: BRCConfig, tasks: TaskSet, times: dict[str, list[float]], peak: float) -> dict[str, Any]:
    """One size's figures."""
    gflop, ours = multiplications(config, tasks), times["ours"]
    row: dict[str, Any] = {"width": config.critic_width, "batch": config.batch_size, "pairs": len(ours)}
    row |= {"gflop": gflop, "peak": peak}
    for name, values in times.items():
        row[name] = {
            "median": statistics.median(values),
            "min": min(values),
            "of_peak": 1e3 * gflop / min(values) / peak,
        }
    if "official" in times:
        ratios = [theirs / mine for mine, theirs in zip(ours, times["official"], strict=True)]
        row["ratio"] = {"median": statistics.median(ratios), "of_minima": min(times["official"]) / min(ours)}
    return row


def line(row: dict[str, Any]) -> str:
    """One size as a row of the table."""

    def figures(name: str) -> str:
        return f"{row[name]['median']:.1f} ({row[name]['min']:.1f})" if name in row else "-"

    ratio = f"{row['ratio']['median']:.2f} ({row['ratio']['of_minima']:.2f})" if "ratio" in row else "-"
    cells = (f"{row['width']} / {row['batch']}", figures("ours"), figures("official"), ratio)
    return f"| {' | '.join(cells)} | {row['ours']['of_peak']:.0%} | {row['pairs']} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="a checkout of the official code")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--budget", type=float, default=10.0, help="seconds of timing for each size")
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    given = parser.parse_args()
    keep_freed_memory()
    keep_compiled()
    tasks, known = resolve([TASKS]), facts()
    peak, rows = matmul_peak(), []
    print("| width / batch | ours, ms: median (min) | official, ms | ratio: pairs (minima) | of peak, ours | pairs |")
    print("|---|---|---|---|---|---|")
    for batch, width in itertools.product(given.batches, given.widths):
        config = BRCConfig(critic_width=width, batch_size=batch)
        calls = {"ours": update_call(config, tasks)}
        if given.official:
            calls["official"] = official_call(given.official, config, tasks)
        times = measure(calls, config.updates_per_step, given.budget)
        peak = max(peak, matmul_peak())
        rows.append(summary(config, tasks, times, peak))
        print(line(rows[-1]), flush=True)
        save(given.output, {**known, "peak": peak, "update": rows})  # what there is, should it be cut short
        del calls
        jax.clear_caches()
    print(f"\nThe peak is {peak:.0f} GFLOP/s; load at the beginning {known['load']}.")


if __name__ == "__main__":
    main()
