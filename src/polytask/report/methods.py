"""Groups runs into methods: equal configs but for the seed are seeds of one method, other configs are compared."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from polytask.report.data import Run
from polytask.runs.old import upgrade_config
from polytask.runs.records import TaskFacts
from polytask.training import kinds


@dataclasses.dataclass(frozen=True)
class Method:
    """The runs of one config. Arrays hold the evaluations that all its runs have; NaN where a seed lacks a task."""

    label: str
    runs: tuple[Run, ...]
    specs: tuple[TaskFacts, ...]
    seeds: tuple[str, ...]
    agents: str
    steps: Int[np.ndarray, " evaluations"]
    scores: Float[np.ndarray, "seeds tasks evaluations"]
    returns: Float[np.ndarray, "seeds tasks evaluations"]
    success: Float[np.ndarray, "seeds tasks evaluations"]
    episodes: Int[np.ndarray, "seeds tasks evaluations"]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.specs)


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"agent": {"kind": "brc"}} as {"agent.kind": "brc"}; lists of objects are numbered from 1."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        inner = value
        if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            inner = {str(i): v for i, v in enumerate(value, start=1)}
        flat |= flatten(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}": inner}
    return flat


def compared(config: dict[str, Any], *also_without: str) -> dict[str, Any]:
    """The flat config without what does not make a method."""
    left_out = (*kinds.uncompared(upgrade_config(config)), *also_without)
    return {name: value for name, value in flatten(config).items() if not _within(name, left_out)}


def _within(name: str, fields: Sequence[str]) -> bool:
    """Whether a dotted name is one of the fields or lies below one."""
    return any(name == field or name.startswith(f"{field}.") for field in fields)


def _identity(config: dict[str, Any], *also_without: str) -> str:
    return json.dumps(compared(config, *also_without), sort_keys=True)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} names" if len(value) > 2 else "+".join(map(str, value))
    return "default" if value is None else str(value)


def labels(configs: Sequence[dict[str, Any]], single: Sequence[bool]) -> list[str]:
    """Names methods by what differs between them, e.g. `agent.kind=sac`; three differences at most.

    Where the kind of agent differs, the fields that only one kind has are left out: the kind implies them. A kind of
    training may have names of its own, which are taken if they tell the methods apart.
    """
    names = [kinds.kind_of(config).label(config) for config in map(upgrade_config, configs)]
    if all(names) and len(set(names)) == len(names):
        return names
    flat = [compared(c, *(("tasks",) if any(single) else ())) for c in configs]
    keys = list(dict.fromkeys(k for f in flat for k in f))
    differing = [k for k in keys if len({json.dumps(f.get(k), sort_keys=True) for f in flat}) > 1]
    if "agent.kind" in differing:
        shared = [k for k in differing if k != "agent.kind" and all(k in f for f in flat)]
        differing = ["agent.kind", *shared]
    names = []
    for config, alone in zip(flat, single, strict=True):
        parts = ["single-task" if alone else "multi-task"] if any(single) and not all(single) else []
        parts += [f"{k}={_value(config.get(k))}" for k in differing[:3]]
        parts += [f"and {len(differing) - 3} more"] if len(differing) > 3 else []
        names.append(", ".join(parts) or "this run")
    return names


def _join_single_task(groups: list[list[Run]]) -> list[list[Run]]:
    """Groups of one task each that differ in nothing but the task are together one method: single-task training."""
    alone = [g for g in groups if len(g[0].specs) == 1]
    joined: dict[str, list[Run]] = {}
    for group in alone:
        joined.setdefault(_identity(group[0].config, "tasks"), []).extend(group)
    done, result = set(), []
    for group in groups:
        key = _identity(group[0].config, "tasks") if len(group[0].specs) == 1 else None
        if key is None:
            result.append(group)
        elif key not in done:
            done.add(key)
            result.append(joined[key])
    return result


def _without_copies(group: list[Run], notes: list[str]) -> list[Run]:
    """One run for each seed and task set, the longest: two runs of one seed are the same run, not more evidence."""
    best: dict[tuple[str, ...], Run] = {}
    for run in group:
        key = (run.seed, *(s.name for s in run.specs))
        other = best.get(key)
        if other is None:
            best[key] = run
            continue
        longer, shorter = (run, other) if run.evaluations.steps[-1:] > other.evaluations.steps[-1:] else (other, run)
        best[key] = longer
        if run.path.resolve() != other.path.resolve():
            notes.append(f"{shorter.name} repeats seed {run.seed} of {longer.name}, which says nothing new; left out")
    return list(best.values())


def _common_steps(runs: Sequence[Run], notes: list[str]) -> np.ndarray:
    evaluated = [r for r in runs if r.evaluations.steps.size]
    if not evaluated:
        return np.array([], int)
    notes += [f"{r.name} has no evaluation yet and is left out of scores" for r in runs if not r.evaluations.steps.size]
    common = evaluated[0].evaluations.steps
    for run in evaluated[1:]:
        common = np.intersect1d(common, run.evaluations.steps)
    furthest = max(int(r.evaluations.steps[-1]) for r in evaluated)
    if not common.size:
        notes.append("its runs were never evaluated at the same step, so they cannot be put together")
    elif common[-1] < furthest:
        behind = min(evaluated, key=lambda r: r.evaluations.steps[-1])
        notes.append(f"scores stop at step {common[-1]:,}, the last that all runs share ({behind.name} is behind)")
    return common


def _method(group: list[Run], label: str) -> Method:
    notes: list[str] = []
    runs = _without_copies(group, notes)
    specs = tuple({s.name: s for r in runs for s in r.specs}.values())
    names = [s.name for s in specs]
    seeds = tuple(dict.fromkeys(r.seed for r in runs))
    steps = _common_steps(runs, notes)
    shape = (len(seeds), len(specs), steps.size)
    scores, returns, success = np.full((3, *shape), np.nan)
    episodes = np.zeros(shape, int)
    for run in runs:
        rows = np.flatnonzero(np.isin(run.evaluations.steps, steps))
        if rows.size != steps.size:
            continue
        where = np.ix_([seeds.index(run.seed)], [names.index(s.name) for s in run.specs], range(steps.size))
        found = run.evaluations
        for target, source in (
            (scores, found.scores),
            (returns, found.returns),
            (success, found.success),
            (episodes, found.episodes),
        ):
            target[where] = source[rows].T[None]
    # What is always one task is no task of several, so nothing is single-task training beside it.
    alone = all(r.schema.against for r in runs)
    agents = "single" if all(len(r.specs) == 1 for r in runs) and not alone else "multi"
    return Method(label, tuple(runs), specs, seeds, agents, steps, scores, returns, success, episodes, tuple(notes))


def group_runs(runs: Sequence[Run]) -> list[Method]:
    """Methods in the order in which their first run was given."""
    by_config: dict[str, list[Run]] = {}
    for run in runs:
        by_config.setdefault(_identity(run.config), []).append(run)
    groups = _join_single_task(list(by_config.values()))
    names = labels([g[0].config for g in groups], [len(g[0].specs) == 1 for g in groups])
    methods = []
    for group, name in zip(groups, names, strict=True):
        unique = name if names.count(name) == 1 else f"{name} ({group[0].name})"
        methods.append(_method(group, unique))
    return methods
