"""The configuration of a supervised training: frozen dataclasses, light to import."""

import dataclasses
from typing import Literal, get_args

Loss = Literal["likelihood", "squared-error", "task-weighted"]
LOSSES: tuple[str, ...] = get_args(Loss)

# What may differ when a run is resumed: none of these changes what is learned up to a given step.
MAY_CHANGE = ("steps", "checkpoint_every", "affinity_every", "tensorboard", "wandb")


@dataclasses.dataclass(frozen=True)
class TrunkConfig:
    """The network that all tasks share: `depth` layers of `width` units, each followed by dropout."""

    width: int = 128
    depth: int = 2
    activation: Literal["relu", "tanh"] = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1:
            raise ValueError(f"a trunk has at least one layer of one unit, not {self.depth} of {self.width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is at least 0 and less than 1, not {self.dropout}")


@dataclasses.dataclass(frozen=True)
class OptimiserConfig:
    """Adam, or gradient descent with momentum. Weight decay is decoupled, as in AdamW."""

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    """Of the gradient: Adam's b1, or the momentum of gradient descent."""
    weight_decay: float = 0.0
    decay_per_epoch: float = 1.0
    """The learning rate is multiplied by this after each pass over the training rows."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.decay_per_epoch <= 0:
            raise ValueError("learning_rate and decay_per_epoch are positive")


@dataclasses.dataclass(frozen=True)
class SupervisedConfig:
    """A supervised training: one shared trunk, a head for each task. Steps are gradient steps."""

    trunk: TrunkConfig = dataclasses.field(default_factory=TrunkConfig)
    optimiser: OptimiserConfig = dataclasses.field(default_factory=OptimiserConfig)
    loss: Loss = "likelihood"
    """Of a row: as the task's kind says; squared for every kind; or as its kind says, times --relevance."""
    relevance: tuple[str, ...] = ()
    """With --loss task-weighted: NAME=WEIGHT of tasks that do not count 1."""
    combine: str = "sum"
    """How task gradients become the trunk's step: sum, pcgrad, mgda, ..."""
    combine_scale: Literal["sum", "mean", "paper"] = "sum"
    """How long the combined step is: as a sum over tasks, as a mean, or as the method's paper has it."""
    batch_size: int = 256
    """Rows in a step; 0, or more than there are, takes all of them."""
    steps: int = 3_000
    """Gradient steps, at most."""
    eval_every: int = 100
    """Steps between evaluations."""
    patience: int = 0
    """Training stops after so many evaluations without a better one on the validation rows; 0 never stops early."""
    select: Literal["loss", "score"] = "loss"
    """What of the validation rows, averaged over the tasks, tells which parameters are best."""
    affinity_every: int = 0
    """Steps between measurements of what tasks do to each other (`polytask affinity RUN`); 0 measures never."""

    def __post_init__(self) -> None:
        for name in ("steps", "eval_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("batch_size", "patience", "affinity_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} cannot be negative, but is {getattr(self, name)}")
        if bool(self.relevance) != (self.loss == "task-weighted"):
            raise ValueError("--loss task-weighted and --relevance NAME=WEIGHT go together: give both, or neither")
        if self.steps % self.eval_every:
            below = self.steps // self.eval_every * self.eval_every
            raise ValueError(
                f"steps={self.steps} is no multiple of eval_every={self.eval_every}, so what is learned last can never "
                f"be chosen; say --steps {below or self.eval_every}, or another --eval-every"
            )


@dataclasses.dataclass(frozen=True)
class RunConfig(SupervisedConfig):
    """A supervised training in a run folder."""

    problem: str = ""
    """The name of the problem, as it is shown."""
    tasks: tuple[str, ...] = ()
    """Some of the problem's tasks; none given, all of them."""
    seed: int = 0
    """Decides everything that training draws: parameters, batches, dropout, what the combiner draws."""
    data_seed: int = 0
    """Decides what the problem draws: splits, pairs, noise."""
    checkpoint_every: int = 1_000
    """Steps between checkpoints, each after the evaluation that comes then."""
    tensorboard: bool = True
    """Log for TensorBoard."""
    wandb: bool = False
    """Log to Weights & Biases."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seed", "data_seed"):
            if not 0 <= getattr(self, name) < 2**32:
                raise ValueError(f"{name} lies between 0 and 2^32 - 1, but is {getattr(self, name)}")
        if self.checkpoint_every < 1:
            raise ValueError(f"checkpoint_every must be at least 1, not {self.checkpoint_every}")
