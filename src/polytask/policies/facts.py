"""The facts of the tasks in which an agent acts, as a report shows them."""

from collections.abc import Mapping
from typing import Any

from polytask.runs.records import TaskFacts
from polytask.tasks.spaces import size_of
from polytask.tasks.spec import TaskSpec, spec_from

MISSING = "–"


def task_facts(content: Mapping[str, Any]) -> tuple[TaskFacts, ...]:
    """The tasks of a run, from its config.json."""
    return tuple(_facts(spec_from(spec)) for spec in content.get("specs", ()) if isinstance(spec, Mapping))


def _facts(spec: TaskSpec) -> TaskFacts:
    succeeds = spec.success != "none"
    low_high = MISSING if spec.score_range is None else " to ".join(f"{value:,.4g}" for value in spec.score_range)
    shown = {
        "Task": spec.name,
        "Suite": spec.suite,
        "Observations": size_of(spec.observation),
        "Actions": size_of(spec.action),
        "Horizon": spec.horizon,
        "Discount": spec.discount,
        "Success": spec.success,
        "Score range": low_high,
        "Reward": spec.reward_version or MISSING,
        "Goals": spec.goals or MISSING,
        "Engine": spec.engine,
    }
    judged = "success" if succeeds else "normalised return"
    chosen = {"goals": spec.goals, "reward": spec.reward_version, "horizon": spec.horizon}
    return TaskFacts(
        name=spec.name,
        judged=judged,
        counted="episode",
        proportion=succeeds,
        shown={name: str(value) for name, value in shown.items()},
        suite=spec.suite,
        protocol={name: str(value) for name, value in chosen.items() if value},
    )
