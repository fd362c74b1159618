"""What online training logs, and how a report reads it."""

from collections.abc import Mapping
from typing import Any

from polytask.runs.records import Measure, Schema, TaskFacts
from polytask.tasks.spaces import size_of
from polytask.tasks.spec import TaskSpec, spec_from

SCHEMA = Schema(
    unit="steps per task",
    axis="environment steps per task",
    learner="agent",
    beside="return",
    beside_name="return",
    rate="Environment steps per second, all tasks",
    training="Losses, entropy and gradients",
    digits=2,
    final="Scores are at the last checkpoint evaluated, never the best of the run.",
    measures=(
        Measure("critic_loss", "Critic loss"),
        Measure("actor_loss", "Actor loss"),
        Measure("entropy", "Policy entropy (nats)"),
        Measure("temperature", "Temperature α"),
        Measure("critic_gradient_norm", "Critic gradient norm"),
        Measure("actor_gradient_norm", "Actor gradient norm"),
        Measure("parameter_norm", "Parameter norm"),
        Measure("q_mean", "Mean Q (normalised return)", expected=False),
        Measure("reward_scale", "Reward scale (multiplies raw rewards)", expected=False),
        Measure("return_bound", "Largest return seen (raw reward units)", expected=False),
        Measure("critic_weight", "Weight of the task in the critic's step", expected=False),
        Measure("actor_weight", "Weight of the task in the actor's step", expected=False),
        Measure("critic_residual", "Residual of the critic's combiner (0 is exact)", expected=False),
        Measure("actor_residual", "Residual of the actor's combiner (0 is exact)", expected=False),
    ),
    logged=(
        *("episode_return", "episode_success", "restarts", "replay_transitions", "replay_bytes"),
        *("critic_nonfinite", "actor_nonfinite", "embedding"),
    ),
)
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
