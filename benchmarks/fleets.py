"""Fleets: what each way of finding routes serves, on the same instances, and how long it takes for one.

    pip install -e '.[fleets]'
    python benchmarks/fleets.py --sizes u4-n80 u4-n200 --instances 15                 # without a model
    python benchmarks/fleets.py --sizes u4-n80 --instances 15 --run runs/fleets-u4-n80-seed{0,1,2}

    python benchmarks/fleets.py --training --sizes u4-n80                             # a step of training

Instances are those of DL-DRL (arXiv 2208.02447): depot and sites uniform in the unit square, ranges of 2. All routes
are checked. Milliseconds are of CPU time, and so are PyVRP's seconds; OR-Tools searches for seconds of wall time, for
which the machine has to be idle. What compiles has compiled. The table is Markdown: the mean of the sites served, and
its standard error over the instances.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from common import facts

import polytask
from polytask import random
from polytask.fleets import Family, Fleet, check
from polytask.fleets.bilevel import Turn
from polytask.fleets.config import FleetConfig
from polytask.fleets.heuristics import clustered, inserted, nearest
from polytask.fleets.instance import Routes, draw, unbatched
from polytask.fleets.learning import begin
from polytask.fleets.names import size_of
from polytask.fleets.search import searched
from polytask.fleets.solvers import ortools, pyvrp
from polytask.fleets.trainer import family_of, model_of, one_step

Way = Callable[[Fleet], Routes]


def ways(runs: list[Path], seconds: list[float]) -> dict[str, Way]:
    """What is compared, by name."""
    found: dict[str, Way] = {"nearest site": nearest, "k-means, insertion": clustered}
    for rounds in (50, 150):
        found[f"nearest site, insertion, {rounds} rounds of search"] = lambda fleet, rounds=rounds: searched(
            fleet, inserted(fleet, nearest(fleet)), rounds
        )
    for limit in seconds:
        found[f"OR-Tools, {limit:g} s"] = lambda fleet, limit=limit: ortools(fleet, limit)
        found[f"PyVRP, {limit:g} s"] = lambda fleet, limit=limit: pyvrp(fleet, limit)
    for run in runs:
        policy = polytask.load(run)
        for name, options in {
            "likeliest": {"symmetric": False, "insert": False},
            "8 symmetries": {"insert": False},
            "8 symmetries, insertion": {},
            "8 symmetries, insertion, 150 rounds of search": {"rounds": 150},
        }.items():
            found[f"{run.name}, {name}"] = lambda fleet, policy=policy, options=options: policy.routes(
                [fleet], **options
            )[0]
    return found


def training(sizes: list[str]) -> str:
    """CPU milliseconds of a step of training, the least of five."""
    lines = ["\n| | router, swept | router, given | allocator |", "|---|---|---|---|"]
    for size in sizes:
        config, cells = FleetConfig(tasks=(f"fleets/{size}",)), []
        for turn in (Turn("lower", given=False), Turn("lower", given=True), Turn("upper", given=True)):
            learned = begin(model_of(config, 0), config.learning_rate, config.baseline)
            took = []
            for i in range(6):
                before, key = time.process_time(), random.key(0, "fleets.benchmark", i)
                learned, _ = jax.block_until_ready(one_step(config, family_of(config, size), turn, learned, key))
                took.append(time.process_time() - before)
            cells.append(f"{1e3 * min(took):,.0f}")
        lines.append(f"| {size} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["u4-n80"])
    parser.add_argument("--instances", type=int, default=15)
    parser.add_argument("--seconds", type=float, nargs="*", default=[0.1, 1.0, 10.0])
    parser.add_argument("--run", type=Path, nargs="*", default=[])
    parser.add_argument("--training", action="store_true")
    asked = parser.parse_args()
    print(facts())
    if asked.training:
        print(training(asked.sizes))
        return
    print("\n| | " + " | ".join(f"{size}: sites served | ms" for size in asked.sizes) + " |")
    print("|---|" + "---|---|" * len(asked.sizes), flush=True)
    problems = {
        size: unbatched(draw(Family(*size_of(size)), random.key(0, "fleets.benchmark"), asked.instances))
        for size in asked.sizes
    }
    for name, find in ways(asked.run, asked.seconds).items():
        cells = []
        for fleets in problems.values():
            find(fleets[0])
            start = time.process_time()
            served = [check(fleet, find(fleet)).served for fleet in fleets]
            each = 1e3 * (time.process_time() - start) / len(fleets)
            error = np.std(served, ddof=1) / len(served) ** 0.5
            cells.append(f"{np.mean(served):.1f} ± {error:.1f} | {each:,.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
