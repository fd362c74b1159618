"""Supervised training in the table of kinds: one trunk and a head for each task, learned from data."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.config.fields import values_of
from polytask.supervised.config import LOSSES, TrainConfig
from polytask.supervised.schema import SCHEMA, task_facts
from polytask.tasks.relevance import within
from polytask.tasks.suite import PROBLEM_PREFIX
from polytask.training import kinds
from polytask.training.arguments import Asked, Common, asked, parse, value_of
from polytask.training.kinds import Kind, Measured, Options
from polytask.training.overview import BETWEEN, RUN, Flags, Overview

if TYPE_CHECKING:
    from polytask.supervised.problem import Problem
    from polytask.supervised.trainer import SupervisedTrainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(TrainConfig, Common):
    """Trains one model with a head for each task; ends with a table and report.html.

    Problems: multidigits, planted-clusters, digit-attributes-2 to -40, scenes.

    Your own: problems/my_module:make_problem, a function that returns one.

    Where the run folder already holds this run, it goes on from its checkpoint.
    """

    problem: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROBLEM", help_behavior_hint="")] = ""
    """problems/multidigits, problems/digit-attributes-20, problems/my_module:make_problem, ..."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None
    """Passes over the training rows, in place of steps; each is evaluated unless --eval-every is given."""


LEARNING: tuple[str, Flags] = (
    "the model and its steps",
    (
        ("--steps INT, --epochs INT", "gradient steps; or passes over the rows"),
        ("--eval-every INT", "steps between evaluations"),
        ("--patience INT", "evaluations without progress before it stops"),
        ("--batch-size INT", "rows in a step; 0 takes all"),
        ("--trunk.width INT", "units of a layer"),
        ("--trunk.depth INT", "layers"),
        ("--trunk.dropout FLOAT", "of every layer"),
        ("--optimiser.learning-rate FLOAT", "of Adam"),
        ("--optimiser.weight-decay FLOAT", "decoupled, as in AdamW"),
        ("--class-weights balanced", "rare classes count as much as common"),
        ("--select WHAT", "loss or score that chooses parameters"),
    ),
)
OVERVIEW = Overview(
    "polytask train problems/NAME [OPTIONS]",
    (
        "Trains one model with a head for each task, from data.",
        "",
        "  problems/multidigits, problems/digit-attributes-20, ...; `polytask tasks",
        "  problems` lists them;",
        "  problems/my_module:make_problem: your own function that returns a problem.",
    ),
    (
        (
            "the data",
            (
                ("--tasks NAME ...", "some of the problem's tasks"),
                ("--data-seed INT", "decides what the problem draws, such as the split"),
                ("--no-standardise", "numbers as they are"),
                ("--from RUN, --incremental", "begin from a run; add tasks to it"),
            ),
        ),
        LEARNING,
        BETWEEN,
        RUN,
    ),
)


def kind_of(resolve: "Callable[[Any], Problem]") -> Kind:
    """The kind, where `resolve` gives the problem of a configuration."""

    def make(config: TrainConfig, runs: Mapping[int, Path]) -> "SupervisedTrainer":
        from polytask.supervised.incremental import begin
        from polytask.supervised.trainer import SupervisedTrainer

        problem, earlier = resolve(config), None
        if config.incremental:
            config, earlier = begin(config, problem, list(runs.values()))
        return SupervisedTrainer(config, problem, tuple(runs), earlier)

    def tasks(config: TrainConfig) -> tuple[str, ...]:
        return config.tasks or resolve(config).names

    def load(run: Path) -> Any:
        from polytask.supervised.predictor import load

        return load(run)

    def measure(run: Path, options: Options) -> Measured:
        from polytask.supervised import show, testing

        kinds.data_only(options)
        tested = testing.measure_run(run, resolve(kinds.config_at(run)))
        return Measured(show.measured(tested), testing.to_json(tested))

    return Kind(
        name="supervised",
        config=TrainConfig,
        facts=("specs", "data", "table"),
        accepts=lambda arguments: any(argument.startswith(PROBLEM_PREFIX) for argument in arguments),
        parse=_parse,
        folder=folder_name,
        make=make,
        show=_show,
        tasks=tasks,
        of_tasks=_of_tasks,
        load=load,
        measure=measure,
        schema=SCHEMA,
        task_facts=task_facts,
    )


def _by_name(config: TrainConfig) -> "Problem":
    from polytask.problems import resolve

    return resolve(config.problem, config.data_seed)


def _parse(arguments: Sequence[str]) -> Asked:
    from polytask.problems import DECISION_LOSSES, DECISIONS, settings

    name = next(argument for argument in arguments if argument.startswith(PROBLEM_PREFIX))
    loss = value_of(arguments, "--loss", "")
    if loss in DECISION_LOSSES:
        raise ValueError(
            f"--loss {loss} learns from decisions, and {name} ends in none: it takes {', '.join(LOSSES.names())}. "
            f"Problems that end in one: {', '.join(PROBLEM_PREFIX + known for known in DECISIONS)}"
        )
    given = parse(Arguments, arguments, Arguments(**values_of(settings(name))), OVERVIEW)
    return asked(given, TrainConfig, **steps_asked(given, arguments, _by_name))


def steps_asked(given: Any, arguments: Sequence[str], resolve: "Callable[[Any], Problem]") -> dict[str, int]:
    """Steps and steps between evaluations where `--epochs` was given. Raises ValueError for epochs below 1."""
    if given.epochs is None:
        return {}
    if given.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, not {given.epochs}")
    from polytask.supervised.training import steps_per_epoch

    each = steps_per_epoch(resolve(given).train.inputs.shape[0], given)
    every = given.eval_every if value_of(arguments, "--eval-every", "") else each
    return {"steps": given.epochs * each, "eval_every": every}


def folder_name(config: TrainConfig) -> str:
    """`multidigits-pcgrad`."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", config.problem.removeprefix(PROBLEM_PREFIX)).strip("-")
    shown = config.tasks if len(config.tasks) <= 3 else (*config.tasks[:2], f"{len(config.tasks) - 2}-more")
    combine = re.sub(r"[^A-Za-z0-9._]+", "-", config.combine).strip("-")
    loss = "-".join((config.loss, *config.relevance)).replace("=", "") if config.loss != "likelihood" else ""
    weights = config.class_weights if config.class_weights != "equal" else ""
    return "-".join(part for part in (slug, "+".join(shown), loss, weights, combine) if part)


def _of_tasks(config: TrainConfig, tasks: tuple[str, ...]) -> TrainConfig:
    return dataclasses.replace(config, tasks=tasks, relevance=within(config.relevance, tasks))


def _show(config: TrainConfig, trainer: "SupervisedTrainer", runs: Mapping[int, Path]) -> None:
    from polytask.supervised.show import show

    show(config, trainer.problem, runs)


KIND = kind_of(_by_name)
