"""The configuration of a training for decisions: a frozen dataclass, light to import."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

Loss = Literal["two-stage", "dfl", "dfl+mse", "lodl", "spo+", "taskmet"]
LOSSES: tuple[str, ...] = get_args(Loss)

# What may differ when a run is resumed: none of these changes what is learned up to a given step.
MAY_CHANGE = ("steps", "checkpoint_every", "tensorboard", "wandb")
KIND = "decision"  # of the one task in config.json, by which such a run is known


@dataclasses.dataclass(frozen=True)
class DecisionConfig:
    """A training of a predictor that feeds a decision. Where a number is 0, the problem's own takes its place."""

    problem: str = ""
    """The name of the problem, as it is shown."""
    loss: Loss = "two-stage"
    """What the predictor learns from: squared error, the task loss, LODL's surrogates, SPO+, or TaskMet's metric."""
    metric: Literal["input", "diagonal", "full"] = "input"
    """With --loss taskmet: one that depends on the input, a weight for each output, or a matrix."""
    per_task: bool = False
    """With --loss taskmet: a metric of its own for each task."""
    trace: float = 0.0
    """With --loss taskmet: holds the metric's mean trace at this; 0 lets it drift."""
    temperature: float = 0.0
    """Of the decision in training; 0: the problem's."""
    learning_rate: float = 0.0
    """Of the predictor's Adam; 0: the problem's."""
    batch_size: int = 10
    """Instances in a step; 0 takes all of them."""
    steps: int = 0
    """Steps of the predictor; 0: the problem's. An outer step of TaskMet counts as several, as the problem says."""
    eval_every: int = 0
    """Steps between evaluations on the test data; 0: about forty in all."""
    seed: int = 0
    """Decides everything that is drawn: the data, parameters, batches."""
    checkpoint_every: int = 1_000
    """Steps between checkpoints, each after the evaluation that comes then."""
    tensorboard: bool = True
    """Log for TensorBoard."""
    wandb: bool = False
    """Log to Weights & Biases."""

    def __post_init__(self) -> None:
        for name in ("trace", "temperature", "learning_rate", "batch_size", "steps", "eval_every"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} cannot be negative or infinite, but is {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"a seed lies between 0 and 2^32 - 1, but is {self.seed}")
        if self.checkpoint_every < 1:
            raise ValueError(f"checkpoint_every must be at least 1, not {self.checkpoint_every}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss is {self.loss!r}; it must be one of {', '.join(LOSSES)}")
        if self.loss != "taskmet" and (self.metric != "input" or self.per_task or self.trace):
            raise ValueError(
                f"--metric, --per-task and --trace shape the metric that --loss taskmet learns; --loss {self.loss} "
                f"learns none: leave them out"
            )


def is_decision_run(content: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is that of a training for decisions."""
    specs = content.get("specs")
    return isinstance(specs, list) and any(isinstance(spec, dict) and spec.get("kind") == KIND for spec in specs)
