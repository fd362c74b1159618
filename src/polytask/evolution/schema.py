"""What an evolution logs, and how a report reads it."""

from collections.abc import Mapping
from typing import Any

from polytask.runs.records import Measure, Schema, TaskFacts

SCHEMA = Schema(
    unit="generations",
    axis="generations",
    learner="population",
    beside="loss",
    beside_name="test loss",
    rate="Generations per second",
    training="Evolution",
    digits=3,
    final="Scores are on the test rows, of each problem's best path by the validation rows. Losses are standardised.",
    measures=(
        Measure("quality", "Validation score of the generation's best child"),
        Measure("kept", "Children kept"),
        Measure("components", "Components"),
        Measure("parameters", "Parameters of all components"),
    ),
)


def task_facts(content: Mapping[str, Any]) -> tuple[TaskFacts, ...]:
    """The problems of a run, from its config.json."""
    return tuple(_facts(spec) for spec in content.get("specs", ()))


def _facts(problem: Mapping[str, Any]) -> TaskFacts:
    name, specs = str(problem.get("name", "?")), problem.get("heads", ())
    kinds = {spec["kind"] for spec in specs}
    judged = "R²" if kinds == {"regression"} else "score" if "regression" in kinds else "accuracy"
    shown = {"Problem": name, "Heads": ", ".join(spec["name"] for spec in specs), "Judged by": judged}
    return TaskFacts(name=name, judged=judged, counted="row", proportion=False, shown=shown, suite="problems")
