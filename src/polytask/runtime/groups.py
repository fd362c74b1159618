"""One agent for each group of tasks, reported as one run."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from polytask.agents.config import BRCConfig
from polytask.agents.factory import make_agent
from polytask.runtime import provenance, storage
from polytask.runtime.config import GROUPED, MAY_CHANGE, TrainConfig, complete, to_json
from polytask.runtime.folder import EVALUATIONS, METRICS, RunFolder, read_jsonl, write_jsonl
from polytask.runtime.training import train
from polytask.tasks.registry import resolve
from polytask.tasks.relevance import within

GROUPS = "groups.json"


@dataclasses.dataclass(frozen=True)
class Group:
    """The tasks that one agent trains on, and those whose results it gives."""

    tasks: tuple[str, ...]
    serves: tuple[str, ...]


Parts = Sequence[tuple[Group, dict[str, Any]]]  # each group's record of one step


def read_groups(file: Path) -> list[Group]:
    """The groups of a file that `polytask group` wrote. Raises StorageError, saying what is wrong with it."""
    try:
        groups = [Group(tuple(g["tasks"]), tuple(g["serves"])) for g in json.loads(file.read_text())["groups"]]
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


def group_runs(groups: Sequence[Group]) -> list[tuple[str, Group]]:
    """The folder of each group that serves a task, and the group."""
    return [(f"group{i + 1}", group) for i, group in enumerate(groups) if group.serves]


def members(groups: Sequence[Group]) -> str:
    """What the configuration of a run that joins groups says of them."""
    return ", ".join("+".join(group.tasks) for group in groups)


def train_groups(config: TrainConfig, groups: list[Group], run: Path) -> bool:
    """Trains each group's agent in `run`/group1 and so on, one after another; then `run` holds what they evaluated and
    logged.

    `config.tasks` are all tasks that are served. Goes on where it stopped. Returns and raises as `train`.
    """
    tasks = resolve(config.tasks, config.task)
    make_agent(config.agent, tasks)  # what cannot be says so before the first group has trained
    with RunFolder(run) as folder:
        folder.claim({**to_json(config, tasks), GROUPED: members(groups)}, MAY_CHANGE, _complete)
        provenance.record(run)
        for name, group in group_runs(groups):
            if not train(_of_group(config, group), run / name):
                return False
        write_jsonl(run / EVALUATIONS, _joined(groups, run, EVALUATIONS, tasks.names, _of_evaluations))
        write_jsonl(run / METRICS, _joined(groups, run, METRICS, tasks.names, _of_metrics))
    return True


def _of_group(config: TrainConfig, group: Group) -> TrainConfig:
    """The configuration of a group's own run."""
    agent = config.agent
    if isinstance(agent, BRCConfig):
        agent = dataclasses.replace(agent, relevance=within(agent.relevance, group.tasks))
    return dataclasses.replace(config, tasks=group.tasks, agent=agent)


def _complete(content: dict[str, Any]) -> dict[str, Any]:
    """As `complete`, for the run that joins groups."""
    joins = {GROUPED: content.pop(GROUPED)} if GROUPED in content else {}
    return {**complete(content), **joins}


def task_figures(parts: Parts, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each task's figures from the group that serves it, in the order of `names`."""
    figures: dict[str, dict[str, Any]] = {}
    for group, record in parts:
        for figure, values in record["task"].items():
            figures.setdefault(figure, {}).update({n: values[n] for n in group.serves if n in values})
    return {figure: {n: values[n] for n in names if n in values} for figure, values in figures.items()}


def _of_evaluations(parts: Parts) -> dict[str, Any]:
    return {"episodes": parts[0][1]["episodes"]}


def _of_metrics(parts: Parts) -> dict[str, Any]:
    """What agents that trained one after another took. Figures of the agents, such as norms, stay in their runs."""
    records = [record for _, record in parts]
    together: dict[str, Any] = {name: sum(r[name] for r in records) for name in ("replay_transitions", "replay_bytes")}
    together["time"] = {part: sum(r["time"][part] for r in records) for part in records[0]["time"]}
    together["peak_memory_bytes"] = max(r["peak_memory_bytes"] for r in records)
    taken = sum(len(group.tasks) / max(r["steps_per_second"], 1e-9) for group, r in parts)  # by a step of every task
    together["steps_per_second"] = sum(len(group.tasks) for group, _ in parts) / taken
    return together


def _joined(
    groups: list[Group], run: Path, file: str, names: tuple[str, ...], others: Callable[[Parts], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The records at the steps that all groups have, each task's figures taken from the group that serves it.

    - `others(parts)`: what is said beside the tasks' figures and the seconds.
    """
    found = {
        group: {record["step"]: record for record in read_jsonl(run / name / file)}
        for name, group in group_runs(groups)
    }
    steps = sorted(set.intersection(*(set(records) for records in found.values())))
    joined = []
    for step in steps:
        parts = [(group, records[step]) for group, records in found.items()]
        seconds = sum(record["seconds"] for _, record in parts)
        joined.append({"step": step, "seconds": seconds, **others(parts), "task": task_figures(parts, names)})
    return joined
