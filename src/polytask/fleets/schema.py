"""What a training of fleets logs, and how a report reads it."""

from collections.abc import Mapping
from typing import Any

from polytask.runs.records import Measure, Schema, TaskFacts

SCHEMA = Schema(
    unit="steps",
    axis="steps",
    learner="policies",
    beside="served",
    beside_name="sites served",
    digits=3,
    final="Routes are those of the likeliest choices, on instances that training never sees.",
    measures=(
        Measure("router_value", "Value of a sampled tour", expected=False),
        Measure("allocator_value", "Value of a sampled allocation", expected=False),
        Measure("router_loss", "Loss of the router", expected=False),
        Measure("allocator_loss", "Loss of the allocator", expected=False),
        Measure("gradient", "Gradient norm"),
    ),
)


def task_facts(content: Mapping[str, Any]) -> tuple[TaskFacts, ...]:
    """The sizes of fleets of a run, from its config.json."""
    return tuple(
        TaskFacts(
            name=str(spec["name"]),
            judged="share of the value",
            counted="instance",
            proportion=False,
            shown={"Task": str(spec["name"]), "Vehicles": str(spec["vehicles"]), "Sites": str(spec["sites"])},
            suite="fleets",
        )
        for spec in content.get("specs", ())
    )
