"""What supervised training logs, and how a report reads it."""

from collections.abc import Mapping
from typing import Any

from polytask.runs.records import Measure, Schema, TaskFacts
from polytask.supervised.spec import DENSE

DENSE_SCORES = {"segmentation": "mIoU", "depth": "in 25 %", "normals": "in 11.25°", "mask": "F"}
"""Shares of pixels within a factor of 1.25 and within 11.25 degrees; see `polytask.supervised.dense.Judged`."""

# A gain of a combiner is often in the third digit.
SCHEMA = Schema(
    unit="gradient steps",
    axis="gradient steps",
    learner="model",
    beside="loss",
    beside_name="test loss",
    rate="Gradient steps per second",
    training="Losses and gradients",
    digits=3,
    also=(("f1", "F1"), ("auc", "AUC")),
    final="Scores are on the test rows, with the parameters that were best on the validation rows until then. Test "
    "losses are in units of the data; training losses are as minimised, standardised unless a run was not.",
    measures=(
        Measure("loss", "Training loss as minimised (model: the sum)"),
        Measure("validation_loss", "Validation loss, same units (model: the sum)"),
        Measure("gradient_norm", "Gradient norm of the trunk"),
        Measure("weight", "Weight of the task in the step"),
        Measure("parameter_norm", "Parameter norm"),
        Measure("residual", "Residual of the combiner (0 is exact)", expected=False),
    ),
)


def score_name(kind: str) -> str:
    """What the score of a kind of task is."""
    return {"regression": "R²"}.get(kind) or DENSE_SCORES.get(kind, "accuracy")


def task_facts(content: Mapping[str, Any]) -> tuple[TaskFacts, ...]:
    """The tasks of a run, from its config.json."""
    return tuple(_facts(spec) for spec in content.get("specs", ()) if isinstance(spec, Mapping))


def _facts(spec: Mapping[str, Any]) -> TaskFacts:
    name, kind, outputs = str(spec.get("name", "?")), str(spec.get("kind", "")), int(spec.get("outputs") or 1)
    judged = score_name(kind)
    proportion = kind == "classes" or (kind == "binary" and outputs == 1)
    counted = "image" if kind in DENSE else "row"
    shown = {"Task": name, "Kind": kind, "Outputs": str(outputs), "Judged by": judged}
    return TaskFacts(name=name, judged=judged, counted=counted, proportion=proportion, shown=shown, suite="problems")
