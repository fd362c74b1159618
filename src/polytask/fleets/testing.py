"""`polytask evaluate` of a training of fleets: its policies beside the heuristics that cost nothing."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polytask import random
from polytask.evaluation.statistics import bootstrap_rows
from polytask.fleets.checking import check
from polytask.fleets.heuristics import clustered, nearest
from polytask.fleets.instance import Fleet, Routes, draw, unbatched
from polytask.fleets.policy import load
from polytask.fleets.trainer import family_of

Finder = Callable[[Sequence[Fleet]], list[Routes]]


def measure_run(run: Path, instances: int | None = None) -> dict[str, Any]:
    """What a run's newest checkpoint serves on its test instances, as JSON holds it.

    `instances`: of each size; None for as many as the run has.
    """
    policy = load(run)
    count = instances or policy.config.instances
    ways: dict[str, Finder] = {
        "policies, likeliest": lambda fleets: policy.routes(fleets, symmetric=False, insert=False),
        "with 8 symmetries": lambda fleets: policy.routes(fleets, insert=False),
        "and insertion": lambda fleets: policy.routes(fleets),
        "nearest site": lambda fleets: [nearest(fleet) for fleet in fleets],
        "k-means, insertion": lambda fleets: [clustered(fleet) for fleet in fleets],
    }
    tasks: dict[str, Any] = {}
    for name in policy.config.tasks:
        fleets = unbatched(draw(family_of(policy.config, name), random.key(0, "fleets.test"), count))
        policy.routes(fleets[:1])
        tasks[name] = {way: compared(find, fleets) for way, find in ways.items()}
    return {"step": policy.step, "instances": count, "tasks": tasks}


def compared(find: Finder, fleets: Sequence[Fleet]) -> dict[str, Any]:
    """The mean value that is served, checked, with its interval over the instances, and milliseconds for each.

    Instances come one at a time, as a person has them.
    """
    find(fleets[:1])
    begin = time.perf_counter()
    routes = [find([fleet])[0] for fleet in fleets]
    seconds = time.perf_counter() - begin
    values = np.array([check(fleet, one).value for fleet, one in zip(fleets, routes, strict=True)])
    value, low, high = bootstrap_rows(np.stack([values, np.ones_like(values)]), lambda sums: sums[0] / sums[1])
    return {"value": value, "low": low, "high": high, "milliseconds": 1e3 * seconds / len(fleets)}
