"""One model for each group of tasks, reported as one run."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polytask.runs import provenance, storage
from polytask.runs.folder import EVALUATIONS, GROUPED, METRICS, RunFolder, read_jsonl, write_jsonl
from polytask.runs.records import LARGEST, SUMMED
from polytask.training import kinds
from polytask.training.config import RunConfig, content_of
from polytask.training.kinds import Kind
from polytask.training.run import run as run_trainer

GROUPS = "groups.json"


@dataclasses.dataclass(frozen=True)
class TaskGroup:
    """The tasks that one model trains on, and those whose results it gives."""

    tasks: tuple[str, ...]
    serves: tuple[str, ...]


def read_groups(file: Path) -> list[TaskGroup]:
    """The groups of a file that `polytask group` wrote. Raises StorageError, saying what is wrong with it."""
    try:
        groups = [TaskGroup(tuple(g["tasks"]), tuple(g["serves"])) for g in json.loads(file.read_text())["groups"]]
    except OSError as error:
        raise storage.StorageError(f"cannot read {file}: {error.strerror}; `polytask group RUN` writes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise storage.StorageError(f"{file} does not hold groups as `polytask group RUN` writes them") from error
    served = [task for group in groups for task in group.serves]
    if not groups or len(set(served)) < len(served) or any(set(g.serves) - set(g.tasks) for g in groups):
        raise storage.StorageError(
            f"{file}: every task is served by one group, which trains on it; this is not so here"
        )
    return groups


def serving(groups: Sequence[TaskGroup]) -> list[tuple[str, TaskGroup]]:
    """The folder of each group that serves a task, and the group."""
    return [(f"group{i + 1}", group) for i, group in enumerate(groups) if group.serves]


def train_groups(
    config: RunConfig, groups: Sequence[TaskGroup], runs: Mapping[int, Path], kind: Kind | None = None
) -> bool:
    """Trains each group's model in RUN/group1 and so on, one after another and all seeds as one program; then each RUN
    holds what its groups evaluated and logged.

    `runs` is the folder of each seed; `kind` is that of the configuration unless one is given. Goes on where it
    stopped. Returns and raises as `train`; ValueError too if the groups serve other tasks than those of the
    configuration.
    """
    kind = kind or kinds.kind_for(config)
    names = kind.tasks(config)
    served = [task for group in groups for task in group.serves]
    if set(served) != set(names):
        raise ValueError(
            f"the groups serve {', '.join(served)}, and the training is about {', '.join(names)}; "
            f"name the tasks of the groups, or group these tasks"
        )
    parts = [(name, group, kind.of_tasks(config, group.tasks)) for name, group in serving(groups)]
    with contextlib.closing(kind.make(config, runs)) as whole:  # not started: its facts, or why it cannot be
        config, facts = whole.config, whole.facts
    for (seed, run), own in zip(runs.items(), facts, strict=True):
        with RunFolder(run) as folder:
            content = content_of(kind.name, dataclasses.replace(config, seed=seed), own)
            members = ", ".join("+".join(group.tasks) for group in groups)
            folder.claim({**content, GROUPED: members}, kinds.resumable(config), kinds.completed)
            written = {"groups": [dataclasses.asdict(group) for group in groups]}
            storage.replace(run / GROUPS, json.dumps(written, indent=2).encode())
            provenance.record(run)
    for name, _, part in parts:
        places = {seed: run / name for seed, run in runs.items()}
        if not run_trainer(kind.make(part, places), places):
            return False
    for run in runs.values():
        for file in (EVALUATIONS, METRICS):
            found = {group: read_jsonl(run / name / file) for name, group, _ in parts}
            write_jsonl(run / file, joined(found, names))
    return True


def joined(found: Mapping[TaskGroup, Sequence[dict[str, Any]]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Evaluations, or metrics, at every step of any group, each task's figures from the group that serves it.

    A group that ended early keeps its last figures: what it has chosen stays chosen. What groups that trained one after
    another took is summed; figures of a model, such as norms, stay in the groups' runs.
    """
    records: list[dict[str, Any]] = []
    for step in sorted({record["step"] for own in found.values() for record in own}):
        so_far = {group: [r for r in own if r["step"] <= step] for group, own in found.items()}
        if all(so_far.values()):
            parts = [(group, own[-1]) for group, own in so_far.items()]
            records.append({"step": step, **_together(parts), "task": _by_task(parts, names)})
    return records


Parts = Sequence[tuple[TaskGroup, dict[str, Any]]]  # each group's record of one step


def _by_task(parts: Parts, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each task's figures from the group that serves it, in the order of `names`."""
    figures: dict[str, dict[str, Any]] = {}
    for group, record in parts:
        for figure, values in record["task"].items():
            figures.setdefault(figure, {}).update({n: values[n] for n in group.serves if n in values})
    return {figure: {n: values[n] for n in names if n in values} for figure, values in figures.items()}


def _together(parts: Parts) -> dict[str, Any]:
    """What the groups took in all."""
    records = [record for _, record in parts]
    found: dict[str, Any] = {name: sum(r[name] for r in records) for name in SUMMED if all(name in r for r in records)}
    found |= {name: max(r[name] for r in records) for name in LARGEST if all(name in r for r in records)}
    if all("time" in r for r in records):
        whats = dict.fromkeys(what for r in records for what in r["time"])
        found["time"] = {what: sum(r["time"].get(what, 0.0) for r in records) for what in whats}
    if all("steps_per_second" in r for r in records):  # of a step of every task, whatever a step counts as
        taken = sum(len(group.tasks) / max(r["steps_per_second"], 1e-9) for group, r in parts)
        found["steps_per_second"] = sum(len(group.tasks) for group, _ in parts) / taken
    if all("episodes" in r for r in records):
        found["episodes"] = records[0]["episodes"]
    return found
