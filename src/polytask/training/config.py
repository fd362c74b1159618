"""What every configuration of a run holds, and the form that it takes in config.json."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import tyro

from polytask.config.fields import check, field


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A training run of any kind; each kind adds its fields, and says what its steps are.

    Raises ValueError, with the flag and its range, for a value that cannot be.
    """

    seed: int = field(0, range="[0, 4294967295]", compared=False)
    """Decides everything that training draws."""
    steps: int = field(1_000, range="[1, inf)", resumable=True)
    """Steps, in total."""
    eval_every: int = field(100, range="[0, inf)", resumable=True)
    """Steps between evaluations; 0 evaluates never."""
    checkpoint_every: int = field(1_000, range="[1, inf)", compared=False)
    """Steps between checkpoints."""
    patience: int = field(0, range="[0, inf)", resumable=True)
    """Training stops after so many evaluations without a better one; 0 never stops early."""
    affinity_every: int = field(0, range="[0, inf)", resumable=True, compared=False)
    """Steps between measurements of what tasks do to each other (`polytask affinity RUN`); 0 measures never."""
    start_from: Annotated[str, tyro.conf.arg(name="from", metavar="RUN", help_behavior_hint="")] = field("")
    """A run whose checkpoint this one begins from: what fits by name and shape is taken, the rest is fresh."""
    tensorboard: bool = field(True, resumable=True, compared=False)
    """Log for TensorBoard."""
    wandb: bool = field(False, resumable=True, compared=False)
    """Log to Weights & Biases."""

    def __post_init__(self) -> None:
        check(self)
        check_patience(self.patience, self.eval_every)

    @property
    def log_every(self) -> int:
        """Steps between two lines of metrics."""
        return self.eval_every or self.steps

    @property
    def warm(self) -> bool:
        """Whether it begins with what fits of another run's parameters."""
        return bool(self.start_from)

    @property
    def stride(self) -> int:
        """Steps that are one program: a run stops at its multiples only, and at its last step."""
        return 1


def check_patience(patience: int, eval_every: int) -> None:
    """Raises ValueError for patience where 0 steps between evaluations mean that there are none."""
    if patience and not eval_every:
        raise ValueError("--patience counts evaluations, and --eval-every 0 makes none; leave one of them out")


def content_of(kind: str, config: RunConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json holds: the kind of training, the configuration, and facts of tasks and data."""
    return {"kind": kind, **dataclasses.asdict(config), **facts}
