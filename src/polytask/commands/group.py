"""`polytask group`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from polytask.affinity.record import Pooled
    from polytask.affinity.search import Grouping

_Run = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
_Optional = tyro.conf.arg(help_behavior_hint="")


def group(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_group, prog="polytask group", args=arguments)


def _group(
    run: _Run,
    /,
    groups: int = 2,
    overlap: bool = True,
    budget: Annotated[int | None, _Optional] = None,
    alone: Annotated[float | None, _Optional] = None,
    measure: Annotated[str | None, _Optional] = None,
    part: Annotated[str | None, _Optional] = None,
    until: Annotated[int | None, _Optional] = None,
    output: Annotated[Path | None, _Optional] = None,
) -> int:
    """Chooses groups of tasks to train together, from what a run measured.

    Writes groups.json into the run folder, and says how good the groups are.

    Up to 20 tasks the groups are the best that there are.

    For more, a bound says how much better others could be.

    Args:
        run: A run folder with affinity.jsonl.
        groups: At most so many groups.
        overlap: A task may be in several groups; its best one serves it.
        budget: At most so many places in all groups together, the cost of training them.
        alone: The score of a task in a group of its own; by default nobody is alone.
        measure: By default transference, gain, decrease or cosine, what there is first.
        part: Whose losses, such as critic or actor; by default the critic's where there are several.
        until: Average up to this step only; by default to where training stopped early, else all.
        output: The file to write; by default groups.json in the run folder.
    """
    import json

    from rich.console import Console

    from polytask import random
    from polytask.affinity.baselines import compare
    from polytask.affinity.record import pool
    from polytask.affinity.scores import best_groups
    from polytask.report.affinity import first_measure
    from polytask.report.affinity_table import render_groups
    from polytask.runs import storage
    from polytask.runs.affinity_log import read_affinity

    records, stopped, _ = read_affinity(run)
    until = stopped if until is None else until
    pooled = pool(records, measure or first_measure(records), part, until)
    found = _search(pooled, groups, overlap, alone, budget)
    recorded = {r.measure for r in records if r.part == pooled.part}
    cosine = pool(records, "cosine", pooled.part, until).mean if "cosine" in recorded else None
    generator = random.generator(0, "random groups")
    baselines = compare(pooled.mean, groups, alone=alone, cosine=cosine, rng=generator)
    serving = best_groups(pooled.mean, found.groups, alone)
    members = [[pooled.tasks[t] for t in g] for g in found.groups]
    serves = [[pooled.tasks[t] for t, s in enumerate(serving) if s == g] for g in range(len(members))]
    asked = {"groups": groups, "overlap": overlap, "budget": budget, "alone": alone}
    file = output or run / "groups.json"
    content = _content(run, pooled, found, members, serves, baselines, asked)
    storage.replace(file, json.dumps(content, indent=2).encode() + b"\n")
    render_groups(members, serves, _certificate(found), baselines, found.score, Console())
    print(f"\ngroups  {file}")
    return 0


def _search(pooled: "Pooled", groups: int, overlap: bool, alone: float | None, budget: int | None) -> "Grouping":
    import numpy as np

    from polytask.affinity.blocks import MOST_TASKS
    from polytask.affinity.program import good_grouping
    from polytask.affinity.record import off_diagonal
    from polytask.affinity.search import best_grouping

    missing = np.argwhere(np.isnan(off_diagonal(pooled)) & ~np.eye(len(pooled.tasks), dtype=bool))
    if missing.size:
        source, recipient = (pooled.tasks[i] for i in missing[0])
        raise ValueError(
            f"{len(missing)} pairs were never measured, such as what {source} does to {recipient}; train longer, or "
            f"choose another --measure"
        )
    search = best_grouping if len(pooled.tasks) <= MOST_TASKS else good_grouping
    return search(pooled.mean, groups, overlap=overlap, alone=alone, budget=budget)


def _certificate(found: "Grouping") -> str:
    nodes = f"{found.nodes:,} node{'' if found.nodes == 1 else 's'}"
    if found.optimal:
        return f"optimal: no allowed grouping scores more ({found.method}, {nodes})"
    return (
        f"gap: no allowed grouping scores more than {found.bound:.4g}, {found.gap:.2g} above ({found.method}, {nodes})"
    )


def _content(
    run: Path,
    pooled: "Pooled",
    found: "Grouping",
    members: list[list[str]],
    serves: list[list[str]],
    baselines: dict[str, float],
    asked: dict[str, Any],
) -> dict[str, Any]:
    import math

    return {
        "groups": [{"tasks": g, "serves": s} for g, s in zip(members, serves, strict=True)],
        "tasks": list(pooled.tasks),
        "score": found.score,
        "bound": found.bound,
        "optimal": found.optimal,
        "method": found.method,
        "nodes": found.nodes,
        "baselines": {name: value if math.isfinite(value) else None for name, value in baselines.items()},
        "asked": asked,
        "source": {"run": str(run), "measure": pooled.measure, "part": pooled.part, "steps": list(pooled.steps)},
    }
