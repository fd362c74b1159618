"""The configuration of a training for decisions: a frozen dataclass, light to import."""

import dataclasses
from typing import Literal, get_args

from polytask.config.fields import check, field
from polytask.training.config import RunConfig

Loss = Literal["two-stage", "dfl", "dfl+mse", "lodl", "spo+", "taskmet"]
LOSSES: tuple[str, ...] = get_args(Loss)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecisionConfig(RunConfig):
    """A training of a predictor that feeds a decision. Where a number is 0, the problem's own takes its place."""

    problem: str = ""
    """The name of the problem, as it is shown."""
    loss: Loss = "two-stage"
    """What the predictor learns from: squared error, the task loss, LODL's surrogates, SPO+, or TaskMet's metric."""
    metric: Literal["input", "diagonal", "full"] = "input"
    """With --loss taskmet: one that depends on the input, a weight for each output, or a matrix."""
    per_task: bool = False
    """With --loss taskmet: a metric of its own for each task."""
    trace: float = field(0.0, range="[0, inf)")
    """With --loss taskmet: holds the metric's mean trace at this; 0 lets it drift."""
    temperature: float = field(0.0, range="[0, inf)")
    """Of the decision in training; 0: the problem's."""
    learning_rate: float = field(0.0, range="[0, 1e3]")
    """Of the predictor's Adam; 0: the problem's."""
    batch_size: int = field(10, range="[0, inf)")
    """Instances in a step; 0 takes all of them."""
    steps: int = field(0, range="[0, inf)", resumable=True)
    """Steps of the predictor; 0: the problem's. An outer step of TaskMet counts as several, as the problem says."""
    eval_every: int = field(0, range="[0, inf)")
    """Steps between evaluations on the test data; 0: about forty in all."""
    seed: int = field(0, range="[0, 4294967295]", compared=False)
    """Decides everything that is drawn: the data, parameters, batches."""
    checkpoint_every: int = field(1_000, range="[1, inf)", resumable=True, compared=False)
    """Steps between checkpoints, each after the evaluation that comes then."""

    def __post_init__(self) -> None:
        check(self)
        if self.affinity_every:
            raise ValueError(
                "--affinity-every measures what tasks do to each other, and a decision is one task: leave it out"
            )
        if self.loss != "taskmet" and (self.metric != "input" or self.per_task or self.trace):
            raise ValueError(
                f"--metric, --per-task and --trace shape the metric that --loss taskmet learns; --loss {self.loss} "
                f"learns none: leave them out"
            )

    @property
    def stride(self) -> int:
        """The steps between two evaluations are one program."""
        return self.eval_every or 1
