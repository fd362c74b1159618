"""Training on the rows of a table, in the table of kinds: supervised training whose problem is a file."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from polytask.supervised.kind import LEARNING, folder_name, kind_of, steps_asked
from polytask.supervised.tables.config import TableConfig
from polytask.supervised.tables.reading import is_table, read
from polytask.training.arguments import Asked, Common, asked, parse
from polytask.training.overview import BETWEEN, RUN, Overview

if TYPE_CHECKING:
    from polytask.supervised.problem import Problem
    from polytask.supervised.trainer import SupervisedTrainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(TableConfig, Common):
    """Trains one model that predicts columns of a table from the others.

    Numbers, texts, dates and gaps are taken as they come; how is printed.

    `polytask predict RUN FILE` then answers for new rows.

    Where the run folder already holds this run, it goes on from its checkpoint.
    """

    problem: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = ""
    """sales.csv, sales.tsv or sales.parquet."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None
    """Passes over the training rows, in place of steps; each is evaluated unless --eval-every is given."""


OVERVIEW = Overview(
    "polytask train FILE --targets NAME,NAME [OPTIONS]",
    (
        "Trains one model that predicts columns of a table (CSV, TSV, Parquet) from the",
        "others; `polytask predict RUN FILE` then answers for new rows.",
    ),
    (
        (
            "the table",
            (
                ("--targets NAME,NAME", "the columns to predict, a task each"),
                ("--drop NAME,NAME", "columns that are no inputs, such as an id"),
                ("--kind NAME=KIND", "regression, binary, classes: not as guessed"),
                ("--split SPLIT", "random, time, group:COLUMN, or a COLUMN"),
                ("--data-seed INT", "decides a split that is drawn"),
            ),
        ),
        LEARNING,
        BETWEEN,
        RUN,
    ),
)


def problem_of(config: TableConfig) -> "Problem":
    """The problem of a configuration. Raises as `reading.read` and `table_problem`."""
    from polytask.supervised.tables.problem import table_problem

    frame = read(config.problem)
    kinds = dict(_kind(entry) for entry in config.kinds)
    name = Path(config.problem).stem
    return table_problem(name, frame, config.targets, config.drop, config.split, kinds, config.data_seed)


def _kind(entry: str) -> tuple[str, str]:
    name, equals, kind = entry.rpartition("=")
    if not equals:
        raise ValueError(f"--kind {entry}: give NAME=KIND, such as {entry}=classes")
    return name, kind


def _parse(arguments: Sequence[str]) -> Asked:
    given = parse(Arguments, arguments, Arguments(), OVERVIEW)
    lists = {name: _parted(getattr(given, name)) for name in ("targets", "drop", "kinds", "tasks")}
    given = dataclasses.replace(given, **lists)
    return asked(given, TableConfig, **steps_asked(given, arguments, problem_of))


def _parted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for name in names for part in name.split(",") if part.strip())


def _folder(config: TableConfig) -> str:
    """`sales-price+sold-sum`."""
    tasks = tuple(re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-") for name in config.tasks or config.targets)
    split = "" if config.split == "random" else "-" + re.sub(r"[^A-Za-z0-9._]+", "-", config.split).strip("-")
    return folder_name(dataclasses.replace(config, problem=Path(config.problem).stem, tasks=tasks)) + split


def _show(config: TableConfig, trainer: "SupervisedTrainer", runs: Mapping[int, Path]) -> None:
    from polytask.supervised.show import show, show_table

    if trainer.given.table is not None:
        show_table(trainer.given.table)
    show(config, trainer.problem, runs)


KIND = kind_of(problem_of)._replace(
    name="tables",
    config=TableConfig,
    accepts=lambda arguments: any(map(is_table, arguments)),
    parse=_parse,
    folder=_folder,
    show=_show,
)
