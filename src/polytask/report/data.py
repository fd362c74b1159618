"""Reads run folders into plain arrays; a run that is young, cut off or odd gives notes rather than errors."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from polytask.runs.old import upgrade_config, upgrade_evaluation
from polytask.runs.records import Schema, TaskFacts
from polytask.training import kinds
from polytask.training.kinds import Kind


@dataclasses.dataclass(frozen=True)
class LearnedMetric:
    """What an error costs, by task and output, and where it depends on the input also by tenths of the truth."""

    tasks: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Float[np.ndarray, "tasks outputs"]
    by_truth: Float[np.ndarray, "tasks tenths"] | None


@dataclasses.dataclass(frozen=True)
class Evaluations:
    """Means over episodes, and counts; NaN where an evaluation lacks a task or a number.

    `chosen` is the step of the parameters that the validation rows have chosen, where there are such rows; `metric` is
    the latest one that was learned, where one was. `routing` is the latest, by layer: how each task
    mixes a network's parts. `also` holds the figures that the kind of training has beside these, by name.
    """

    steps: Int[np.ndarray, " evaluations"]
    returns: Float[np.ndarray, "evaluations tasks"]
    success: Float[np.ndarray, "evaluations tasks"]
    scores: Float[np.ndarray, "evaluations tasks"]
    episodes: Int[np.ndarray, "evaluations tasks"]
    embedding: Float[np.ndarray, "tasks features"] | None
    routing: tuple[Float[np.ndarray, "tasks _ _"], ...] = ()
    chosen: int | None = None
    metric: LearnedMetric | None = None
    also: dict[str, Float[np.ndarray, "evaluations tasks"]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What training logged, at `steps` (environment steps per task); NaN where something is missing."""

    steps: Int[np.ndarray, " rows"]
    values: dict[str, Float[np.ndarray, " rows"]]
    tasks: dict[str, Float[np.ndarray, "rows tasks"]]
    time: dict[str, float]

    def last(self, name: str) -> float:
        """The latest finite value; NaN if there is none."""
        values = self.values.get(name, np.array([]))
        finite = values[np.isfinite(values)]
        return float(finite[-1]) if finite.size else math.nan


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder as the report reads it; what the folder lacks is empty here, and named in `notes`.

    `lines` are those of evaluations.jsonl, for the sections of what only one kind records.
    """

    path: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    schema: Schema
    specs: tuple[TaskFacts, ...]
    evaluations: Evaluations
    metrics: Metrics
    lines: tuple[dict[str, Any], ...]
    seconds: float
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def seed(self) -> str:
        return str(self.config.get("seed", "?"))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        return _dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        notes.append(f"{path.name} is missing")
    except ValueError:
        notes.append(f"{path.name} is not valid JSON and was left out")
    return {}


def read_lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, one for each step, in order; after a resume the later line of a step counts."""
    if not path.exists():
        notes.append(f"{path.name} is missing")
        return []
    by_step: dict[int, dict[str, Any]] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for index, line in enumerate(lines):
        try:
            row = json.loads(line)
            by_step[int(row["step"])] = row
        except (ValueError, KeyError, TypeError):
            if index == len(lines) - 1:
                notes.append(
                    f"the last line of {path.name} was cut off and left out (the run stopped while writing it)"
                )
            elif line.strip():
                notes.append(f"line {index + 1} of {path.name} could not be read and was left out")
    return [by_step[step] for step in sorted(by_step)]


def _specs(kind: Kind, config: dict[str, Any], evaluations: list[dict[str, Any]]) -> tuple[TaskFacts, ...]:
    """From the config; failing that, from what was evaluated."""
    given = config.get("specs")
    if isinstance(given, list) and given:
        return kind.task_facts(config)
    names: dict[str, str] = {}
    for row in evaluations:
        task = _dict(row.get("task"))
        judged = _dict(task.get("success"))
        names |= {n: "any-step" if n in judged else "none" for n in _dict(task.get(kind.schema.beside))}
    return kind.task_facts({"specs": [{"name": name, "success": success} for name, success in names.items()]})


def _values(task: dict[str, Any], measure: str, name: str) -> list[float]:
    """The finite numbers of a task: one for each episode, or one."""
    given = _dict(task.get(measure)).get(name)
    values = given if isinstance(given, list) else [given]
    return [x for x in map(_number, values) if math.isfinite(x)]


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _evaluations(rows: list[dict[str, Any]], schema: Schema, specs: tuple[TaskFacts, ...]) -> Evaluations:
    shape = (len(rows), len(specs))
    returns, success, scores = np.full((3, *shape), np.nan)
    episodes = np.zeros(shape, int)
    also = {name: np.full(shape, np.nan) for name, _ in schema.also}
    embedding, routing = None, ()
    for e, row in enumerate(rows):
        task = _dict(row.get("task"))
        for t, spec in enumerate(specs):
            got, won = _values(task, schema.beside, spec.name), _values(task, "success", spec.name)
            returns[e, t], success[e, t] = _mean(got), _mean(won)
            scores[e, t] = _mean(_values(task, "score", spec.name))
            for name, values in also.items():
                values[e, t] = _mean(_values(task, name, spec.name))
            counted = _values(task, "rows", spec.name)
            episodes[e, t] = int(counted[0]) if counted else len(won) if spec.proportion else len(got)
        vectors = _dict(row.get("embedding"))
        if vectors and all(isinstance(vectors.get(s.name), list) for s in specs):
            embedding = np.array([vectors[s.name] for s in specs], np.float64)
        routing = _routing(_dict(row.get("routing")), specs) or routing
    steps = np.array([row["step"] for row in rows], int)
    best = rows[-1].get("best_step") if rows else None
    best = best if isinstance(best, int) else None
    return Evaluations(steps, returns, success, scores, episodes, embedding, routing, best, _learned_metric(rows), also)


def _routing(given: dict[str, Any], specs: tuple[TaskFacts, ...]) -> tuple[Float[np.ndarray, "tasks _ _"], ...]:
    """The tasks' routes by layer; empty where one has none, or where they do not fit together."""
    try:
        layers = zip(*(given[spec.name] for spec in specs), strict=True)
        found = tuple(np.array(layer, np.float64) for layer in layers)
    except (KeyError, TypeError, ValueError):
        return ()
    return found if all(layer.ndim == 3 for layer in found) else ()


def _learned_metric(rows: list[dict[str, Any]]) -> LearnedMetric | None:
    """The metric of the last evaluation; None if it holds none, or one that does not fit together."""
    given = _dict(rows[-1].get("metric")) if rows else {}
    try:
        tasks, outputs = tuple(map(str, given["tasks"])), tuple(map(str, given["outputs"]))
        weights = np.array(given["weights"], np.float64).reshape(len(tasks), len(outputs))
        by_truth = np.array(given["by_truth"], np.float64).reshape(len(tasks), -1) if "by_truth" in given else None
    except (KeyError, TypeError, ValueError):
        return None
    return LearnedMetric(tasks, outputs, weights, by_truth)


def _metrics(rows: list[dict[str, Any]], specs: tuple[TaskFacts, ...]) -> Metrics:
    names = {k for row in rows for k, v in row.items() if isinstance(v, (int, float))}
    per_task = [_dict(row.get("task")) for row in rows]
    tasks = {
        metric: np.array([[_number(_dict(task.get(metric)).get(s.name)) for s in specs] for task in per_task])
        for metric in dict.fromkeys(name for task in per_task for name in task)
        if any(_dict(task.get(metric)) for task in per_task)
    }
    return Metrics(
        steps=np.array([row["step"] for row in rows], int),
        values={name: np.array([_number(row.get(name)) for row in rows]) for name in sorted(names)},
        tasks=tasks,
        time={k: _number(v) for k, v in _dict(rows[-1].get("time")).items()} if rows else {},
    )


def read_run(path: Path) -> Run:
    """Everything the report needs from a run folder.

    Raises ValueError if the folder holds neither config.json, metrics.jsonl nor evaluations.jsonl.
    """
    if not any((path / name).exists() for name in ("config.json", "metrics.jsonl", "evaluations.jsonl")):
        raise ValueError(
            f"{path} is not a run folder (no config.json in it); give the folder that `polytask train` made"
        )
    notes: list[str] = []
    config = _read_json(path / "config.json", notes)
    whole = upgrade_config(config)
    kind = kinds.kind_of(whole)
    evaluated = [upgrade_evaluation(row, whole) for row in read_lines(path / "evaluations.jsonl", notes)]
    logged = read_lines(path / "metrics.jsonl", notes)
    specs = _specs(kind, config, evaluated)
    if not specs:
        notes.append("neither config.json nor evaluations.jsonl names a task")
    return Run(
        path=path,
        config=config,
        provenance=_read_json(path / "provenance.json", notes),
        schema=kind.schema,
        specs=specs,
        evaluations=_evaluations(evaluated, kind.schema, specs),
        metrics=_metrics(logged, specs),
        lines=tuple(evaluated),
        seconds=max((_number(row.get("seconds")) for row in (*evaluated[-1:], *logged[-1:])), default=math.nan),
        notes=tuple(notes),
    )
