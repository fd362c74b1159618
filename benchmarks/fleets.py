"""Fleets: what each way of finding routes serves, on the same instances, and how long it takes for one.

    pip install -e '.[fleets]'
    python benchmarks/fleets.py --sizes u4-n80 u4-n200 --instances 15                 # without a model
    python benchmarks/fleets.py --sizes u4-n80 --instances 15 --run runs/fleets-u4-n80-seed{0,1,2}

Instances are those of DL-DRL (arXiv 2208.02447): depot and sites uniform in the unit square, ranges of 2. All routes
are checked. Solvers search for seconds of wall time, so the machine has to be idle; each has one core. The table is
Markdown: the mean of the sites served, and its standard error over the instances.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import facts

import polytask
from polytask import random
from polytask.fleets import Family, Fleet, check
from polytask.fleets.heuristics import clustered, nearest
from polytask.fleets.instance import Routes, draw, unbatched
from polytask.fleets.names import size_of
from polytask.fleets.solvers import ortools, pyvrp

Way = Callable[[Fleet], Routes]


def ways(runs: list[Path], seconds: list[float]) -> dict[str, Way]:
    """What is compared, by name."""
    found: dict[str, Way] = {"nearest site": nearest, "k-means, insertion": clustered}
    for limit in seconds:
        found[f"OR-Tools, {limit:g} s"] = lambda fleet, limit=limit: ortools(fleet, limit)
        found[f"PyVRP, {limit:g} s"] = lambda fleet, limit=limit: pyvrp(fleet, limit)
    for run in runs:
        policy = polytask.load(run)
        for name, options in {
            "likeliest": {"symmetric": False, "insert": False},
            "8 symmetries": {"insert": False},
            "8 symmetries, insertion": {},
        }.items():
            found[f"{run.name}, {name}"] = lambda fleet, policy=policy, options=options: policy.routes(
                [fleet], **options
            )[0]
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["u4-n80"])
    parser.add_argument("--instances", type=int, default=15)
    parser.add_argument("--seconds", type=float, nargs="*", default=[0.1, 1.0, 10.0])
    parser.add_argument("--run", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    print(facts())
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
            begin = time.perf_counter()
            served = [check(fleet, find(fleet)).served for fleet in fleets]
            each = 1e3 * (time.perf_counter() - begin) / len(fleets)
            error = np.std(served, ddof=1) / len(served) ** 0.5
            cells.append(f"{np.mean(served):.1f} ± {error:.1f} | {each:,.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
