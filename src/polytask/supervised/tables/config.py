"""The configuration of a training on the rows of a table; light to import."""

import dataclasses
from typing import Annotated

import tyro

from polytask.config.fields import field
from polytask.supervised.config import TrainConfig, TrunkConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableConfig(TrainConfig):
    """A supervised training on the rows of a table; `problem` is its file.

    Names on the command line may stand with commas between them.
    """

    targets: tuple[str, ...] = ()
    """The columns to predict, a task each: price,sold,style."""
    drop: tuple[str, ...] = ()
    """Columns that are neither inputs nor targets, such as an id; `polytask predict` copies them."""
    split: str = "random"
    """Which rows are for training, validation and test: random; time, in the order of the column of dates; time:COLUMN;
    group:COLUMN, which keeps rows of one value together; or a COLUMN that says train, validation or test."""
    kinds: Annotated[tuple[str, ...], tyro.conf.arg(name="kind", metavar="[NAME=KIND ...]")] = ()
    """What a target is, where the guess is wrong: style=classes; regression, binary or classes."""
    # Tables are often small: dropout, and looks that come early enough to stop before all is learned by heart.
    trunk: TrunkConfig = dataclasses.field(default_factory=lambda: TrunkConfig(dropout=0.3))
    eval_every: int = field(50, range="[0, inf)")
    """Steps between evaluations; the last step is evaluated too. 0 evaluates never and keeps the last parameters."""
    patience: int = field(20, range="[0, inf)")
    """Training stops after so many evaluations without a better one on the validation rows; 0 never stops early."""
