"""What training for decisions logs, and how a report reads it."""

from collections.abc import Mapping
from typing import Any

from polytask.runs.records import Measure, Schema, TaskFacts
from polytask.tasks.suite import PROBLEM_PREFIX

TASK_KIND = "decision"  # of the one task in config.json
JUDGED = "decision quality"

SCHEMA = Schema(
    unit="steps",
    axis="steps",
    learner="predictor",
    beside="squared_error",
    beside_name="squared error",
    rate="Steps per second",
    training="Losses and gradients",
    logged=("inner_steps",),
    against=True,
    digits=3,
    final="Decision quality and squared error are on the test data as they stand at that step: nothing is chosen by "
    "them. Quality is 1 for decisions that know the truth, and 0 for random ones.",
    measures=(
        Measure("loss", "What the predictor minimises"),
        Measure("parameter_norm", "Parameter norm"),
        Measure("gradient", "Gradient norm", expected=False),
        Measure("task_loss", "Task loss of the training data", expected=False),
        Measure("task_gradient", "Gradient norm of the task loss", expected=False),
        Measure("solve_residual", "Part of it that the solver missed", expected=False),
        Measure("inner_residual", "Gradient left by the inner loop", expected=False),
        Measure("metric_trace", "Mean trace of the metric", expected=False),
    ),
)


def task_name(problem: str) -> str:
    """The problem's name as tables and charts show it."""
    return problem.removeprefix(PROBLEM_PREFIX).rpartition(":")[2] or "decision"


def task_facts(content: Mapping[str, Any]) -> tuple[TaskFacts, ...]:
    """The one task of a run, from its config.json."""
    return tuple(
        TaskFacts(
            name=(name := str(spec.get("name", "?"))),
            judged=JUDGED,
            counted="instance",
            proportion=False,
            shown={"Task": name, "Kind": "decision", "Outputs": str(spec.get("outputs", 1)), "Judged by": JUDGED},
            suite="problems",
        )
        for spec in content.get("specs", ())
        if isinstance(spec, Mapping)
    )


def label(content: Mapping[str, Any]) -> str:
    """What tells methods apart: loss and metric."""
    metric, trace = str(content.get("metric", "input")), content.get("trace")
    parts = [str(content.get("loss", "")), metric if metric != "input" else ""]
    parts.append("per task" if content.get("per_task") else "")
    return ", ".join([*filter(None, parts), *([f"trace {trace:g}"] if trace else [])])
