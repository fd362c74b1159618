"""What training from logged data logs, and how a report reads it."""

from polytask.runs.records import Measure, Schema

SCHEMA = Schema(
    unit="gradient steps",
    axis="gradient steps",
    learner="agent",
    beside="return",
    beside_name="return",
    rate="Gradient steps per second",
    training="Losses, values and gradients on the data",
    digits=2,
    final="Scores are at the last checkpoint evaluated, never the best of the run.",
    measures=(
        Measure("critic_loss", "Critic loss"),
        Measure("actor_loss", "Actor loss"),
        Measure("critic_gradient_norm", "Critic gradient norm"),
        Measure("actor_gradient_norm", "Actor gradient norm"),
        Measure("q_mean", "Mean Q (scaled return)"),
        Measure("parameter_norm", "Parameter norm"),
        Measure("value_loss", "Value loss", expected=False),
        Measure("vae_loss", "Loss of the autoencoder", expected=False),
        Measure("entropy", "Policy entropy (nats)", expected=False),
        Measure("temperature", "Temperature α", expected=False),
        Measure("reward_scale", "Reward scale (multiplies raw rewards)", expected=False),
    ),
    logged=("embedding",),
)
