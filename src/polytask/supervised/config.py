"""The configuration of a supervised training: frozen dataclasses, light to import."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from polytask.config.fields import check, field
from polytask.plugins import Table
from polytask.training.config import RunConfig, check_patience

LOSSES: Table[Callable[..., Any]] = Table(
    what="loss",
    group="polytask.losses",
    built_in={
        "likelihood": "polytask.supervised.model:group_losses",
        "squared-error": "polytask.supervised.loss:squared",
        "task-weighted": "polytask.supervised.model:group_losses",
    },
    type=Callable,
)
"""The losses by name: functions (group, outputs, targets) -> (rows, tasks), the loss of every row in every task of a
`spec.HeadGroup` of tasks of one kind and size, from their outputs (rows, tasks, outputs) and targets (the same, or for
classes (rows, tasks) class numbers). "task-weighted" multiplies by the relevance too."""


@dataclasses.dataclass(frozen=True)
class TrunkConfig:
    """The network that all tasks share: `depth` layers of `width` units, each followed by dropout."""

    width: int = field(128, range="[1, inf)")
    depth: int = field(2, range="[1, inf)")
    activation: Literal["relu", "tanh"] = "relu"
    dropout: float = field(0.0, range="[0, 1)")

    def __post_init__(self) -> None:
        check(self, "trunk.")


@dataclasses.dataclass(frozen=True)
class OptimiserConfig:
    """Adam, or gradient descent with momentum. Weight decay is decoupled, as in AdamW."""

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: float = field(1e-3, range="(0, 1e3]")
    momentum: float = field(0.9, range="[0, 1)")
    """Of the gradient: Adam's b1, or the momentum of gradient descent."""
    weight_decay: float = field(0.0, range="[0, 1e3]")
    decay_per_epoch: float = field(1.0, range="(0, 10]")
    """The learning rate is multiplied by this after each pass over the training rows."""

    def __post_init__(self) -> None:
        check(self, "optimiser.")


@dataclasses.dataclass(frozen=True)
class SupervisedConfig:
    """A supervised training: one shared trunk, a head for each task. Steps are gradient steps."""

    trunk: TrunkConfig = dataclasses.field(default_factory=TrunkConfig)
    optimiser: OptimiserConfig = dataclasses.field(default_factory=OptimiserConfig)
    loss: str = "likelihood"
    """Of a row: likelihood, as the task's kind says; squared-error, for every kind; task-weighted, the likelihood times
    --relevance; or one of another package."""
    relevance: tuple[str, ...] = ()
    """With --loss task-weighted: NAME=WEIGHT of tasks that do not count 1."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """balanced: in training and in what the validation rows choose by, a row counts as much more as its class, or its
    yes or no, is rarer among the training rows, so that all count alike in sum. What is tested stays unweighted."""
    combine: str = "sum"
    """How task gradients become the trunk's step: sum, pcgrad, mgda, ..."""
    combine_scale: Literal["sum", "mean", "paper"] = "sum"
    """How long the combined step is: as a sum over tasks, as a mean, or as the method's paper has it."""
    batch_size: int = field(256, range="[0, inf)")
    """Rows in a step; 0, or more than there are, takes all of them."""
    steps: int = field(3_000, range="[1, inf)", resumable=True)
    """Gradient steps, at most."""
    eval_every: int = field(100, range="[0, inf)")
    """Steps between evaluations; the last step is evaluated too. 0 evaluates never and keeps the last parameters."""
    patience: int = field(0, range="[0, inf)")
    """Training stops after so many evaluations without a better one on the validation rows; 0 never stops early."""
    select: Literal["loss", "score"] = "loss"
    """What of the validation rows, averaged over the tasks, tells which parameters are best."""
    affinity_every: int = field(0, range="[0, inf)", resumable=True, compared=False)
    """Steps between measurements of what tasks do to each other (`polytask affinity RUN`); 0 measures never."""

    def __post_init__(self) -> None:
        check(self)
        LOSSES.check(self.loss, "--loss")
        if bool(self.relevance) != (self.loss == "task-weighted"):
            raise ValueError("--loss task-weighted and --relevance NAME=WEIGHT go together: give both, or neither")
        check_patience(self.patience, self.eval_every)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(SupervisedConfig, RunConfig):
    """A supervised training in a run folder."""

    problem: str = ""
    """The name of the problem, as it is shown."""
    tasks: tuple[str, ...] = ()
    """Some of the problem's tasks; none given, all of them."""
    seed: int = field(0, range="[0, 4294967295]", compared=False)
    """Decides everything that training draws: parameters, batches, dropout, what the combiner draws."""
    data_seed: int = field(0, range="[0, 4294967295]")
    """Decides what the problem draws: splits, pairs, noise."""
    standardise: bool = field(True, before=False)
    """Bring inputs and regression labels to mean 0 and deviation 1, by the training rows. Scores, evaluated losses and
    predictions stay in units of the data; the training loss is in standardised ones."""
    incremental: bool = field(False)
    """Learn filters of images that later runs build on; with --from RUN, add tasks to such a run: its filters stay as
    they are, and its tasks keep every bit of their answers. --trunk.width and .depth are those of the first run."""
    checkpoint_every: int = field(1_000, range="[1, inf)", resumable=True, compared=False)
    """Steps between checkpoints, each after the evaluation that comes then."""

    @property
    def log_every(self) -> int:
        """Each evaluation is logged; where there is none, each checkpoint."""
        return self.eval_every or self.checkpoint_every

    @property
    def stride(self) -> int:
        """The steps between two evaluations are one program."""
        return self.log_every

    @property
    def warm(self) -> bool:
        """An incremental run takes its source as it is."""
        return super().warm and not self.incremental
