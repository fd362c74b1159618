"""What online training logs, and how a report reads it."""

from polytask.runs.records import Measure, Schema

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
        *("critic_nonfinite", "actor_nonfinite", "embedding", "routing"),
    ),
)
