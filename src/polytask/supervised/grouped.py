"""One model for each group of tasks, reported as one run."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polytask.runtime import provenance, storage
from polytask.runtime.config import GROUPED
from polytask.runtime.folder import EVALUATIONS, METRICS, RunFolder, read_jsonl, write_jsonl
from polytask.runtime.groups import GROUPS, Group, group_runs, members, task_figures
from polytask.supervised.config import MAY_CHANGE, RunConfig
from polytask.supervised.loss import relevances
from polytask.supervised.problem import Problem
from polytask.supervised.run import complete, to_json, train
from polytask.tasks.relevance import within


def train_groups(config: RunConfig, problem: Problem, groups: Sequence[Group], run: Path) -> bool:
    """Trains each group's model in `run`/group1 and so on, one after another; then `run` holds what they evaluated.

    Goes on where it stopped. Returns and raises as `train`; ValueError too if the groups serve other tasks than those
    of the configuration, or of the problem where it names none.
    """
    served = [task for group in groups for task in group.serves]
    asked = config.tasks or problem.names
    if set(served) != set(asked):
        raise ValueError(
            f"the groups serve {', '.join(served)}, and the training is about {', '.join(asked)}; "
            f"name the tasks of the groups, or group these tasks"
        )
    chosen = problem.only(served)
    relevances(config, chosen.names)
    with RunFolder(run) as folder:
        folder.claim({**to_json(config, chosen), GROUPED: members(groups)}, MAY_CHANGE, complete)
        content = {"groups": [dataclasses.asdict(group) for group in groups]}
        storage.replace(run / GROUPS, json.dumps(content, indent=2).encode())
        provenance.record(run)
        for folder_name, group in group_runs(groups):
            own = dataclasses.replace(config, tasks=group.tasks, relevance=within(config.relevance, group.tasks))
            if not train(own, problem, run / folder_name):
                return False
        for file in (EVALUATIONS, METRICS):
            found = {group: read_jsonl(run / name / file) for name, group in group_runs(groups)}
            write_jsonl(run / file, joined(found, chosen.names))
    return True


def joined(found: dict[Group, list[dict[str, Any]]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Evaluations, or metrics, at every step of any group, each task's from the group that serves it.

    A group whose patience has run out keeps its last figures: what it has chosen stays chosen.
    """
    records: list[dict[str, Any]] = []
    for step in sorted({record["step"] for own in found.values() for record in own}):
        so_far = {group: [r for r in own if r["step"] <= step] for group, own in found.items()}
        if not all(so_far.values()):
            continue
        latest = [(group, own[-1]) for group, own in so_far.items()]
        seconds = sum(record["seconds"] for _, record in latest)
        records.append({"step": step, "seconds": seconds, "task": task_figures(latest, names)})
    return records
