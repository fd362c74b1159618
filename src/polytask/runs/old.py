"""Run folders from before runs said of what kind they are: they can be reported, evaluated and loaded."""

import math
from collections.abc import Mapping
from typing import Any

from polytask.evaluation.scores import score
from polytask.tasks.spec import spec_from


def upgrade_config(content: dict[str, Any]) -> dict[str, Any]:
    """An old config.json with the kind that it lacks; a newer one as it is."""
    if "kind" in content:
        return content
    specs = content.get("specs")
    deciding = isinstance(specs, list) and any(isinstance(s, dict) and s.get("kind") == "decision" for s in specs)
    kind = "decisions" if deciding else "supervised" if "problem" in content else "online"
    return {"kind": kind, **content}


def upgrade_evaluation(record: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """An old line of evaluations.jsonl with the scores, or the squared errors, that it lacks; a newer one as it is."""
    task = record.get("task")
    if not isinstance(task, dict):
        return record
    if "objective" in record and "loss" in task and "squared_error" not in task:
        return {**record, "task": {**task, "squared_error": task["loss"]}}
    if "score" in task or not isinstance(task.get("return"), dict):
        return record
    won = task["success"] if isinstance(task.get("success"), dict) else {}
    specs = {spec.name: spec for spec in map(spec_from, config.get("specs") or ())}
    scores = {
        name: score(specs[name], _numbers(returns), _numbers(won.get(name)))
        for name, returns in task["return"].items()
        if name in specs
    }
    return {**record, "task": {**task, "score": scores}}


def _numbers(value: Any) -> list[float]:
    found = value if isinstance(value, list) else [value]
    return [float(x) for x in found if isinstance(x, int | float) and math.isfinite(x)]
