"""Run folders from before runs said of what kind they are: they can be reported, evaluated and loaded."""

from typing import Any


def upgrade_config(content: dict[str, Any]) -> dict[str, Any]:
    """An old config.json with the kind that it lacks; a newer one as it is."""
    if "kind" in content:
        return content
    specs = content.get("specs")
    deciding = isinstance(specs, list) and any(isinstance(s, dict) and s.get("kind") == "decision" for s in specs)
    kind = "decisions" if deciding else "supervised" if "problem" in content else "online"
    return {"kind": kind, **content}


def upgrade_evaluation(record: dict[str, Any], scored: Any) -> dict[str, Any]:
    """An old line of evaluations.jsonl with the scores it lacks; `scored(name, returns, successes)` gives a task's."""
    task = record.get("task")
    if not isinstance(task, dict) or "score" in task or not isinstance(task.get("return"), dict):
        return record
    won = task["success"] if isinstance(task.get("success"), dict) else {}
    score = {name: scored(name, returns, won.get(name, [])) for name, returns in task["return"].items()}
    return {**record, "task": {**task, "score": score}}
