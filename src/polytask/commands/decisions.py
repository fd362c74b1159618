"""`polytask train` and `polytask resume` where a prediction feeds a decision."""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.commands.shared import INTERRUPTED, KEPT, conclude, finished, value_of
from polytask.decisions.config import LOSSES, DecisionConfig
from polytask.problems import PREFIX, is_decision, resolve_decision
from polytask.supervised.config import LOSSES as OF_HEADS

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.decisions.case import Case


@dataclasses.dataclass(frozen=True)
class TrainArguments(DecisionConfig):
    """Trains a predictor that feeds a decision; ends with a table and report.html.

    Problems: cubic, newsvendor, ...; `polytask tasks problems` lists them.

    Your own: problems/my_module:make_case, a function that returns a Case.

    Where the run folder already holds this run, it goes on from its checkpoint.
    """

    problem: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROBLEM", help_behavior_hint="")] = ""
    """problems/newsvendor, problems/my_module:make_case, ..."""
    run: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The run folder; by default runs/ with the names of problem, loss and seed."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N", help_behavior_hint="")] = 1
    """Train N seeds, from --seed on, as one program; each gets a run folder (with --run DIR: DIR/seed0, ...)."""


@dataclasses.dataclass(frozen=True)
class ResumeArguments:
    """Goes on with a run from its newest checkpoint as if it had not stopped.

    What is not given stays as it is in the run.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    steps: Annotated[int, KEPT] = 0
    """Steps, in total."""
    tensorboard: Annotated[bool, KEPT] = False
    """Log for TensorBoard."""
    wandb: Annotated[bool, KEPT] = False
    """Log to Weights & Biases."""


def is_asked(arguments: Sequence[str]) -> bool:
    """Whether `polytask train` is asked for a problem that ends in a decision."""
    data_seed = value_of(arguments, "--data-seed", "0")
    return any(is_decision(name, int(data_seed) if data_seed.isdecimal() else 0) for name in _named(arguments))


def train(arguments: list[str]) -> int:
    """Parses and runs."""
    given = parse(arguments)
    config = DecisionConfig(**{f.name: getattr(given, f.name) for f in dataclasses.fields(DecisionConfig)})
    if given.seeds < 1:
        raise ValueError(f"--seeds is a count of at least 1, not {given.seeds}")
    if given.seeds == 1:
        return _train(config, {config.seed: given.run or default_folder(config)})

    def folder(seed: int) -> Path:
        return given.run / f"seed{seed}" if given.run else default_folder(dataclasses.replace(config, seed=seed))

    return _train(config, {seed: folder(seed) for seed in range(config.seed, config.seed + given.seeds)})


def resume(arguments: list[str], run: Path, content: dict[str, Any]) -> int:
    """Parses and runs; `content` is the run's config.json."""
    from polytask.decisions.facts import from_json

    config = from_json(content)
    names = [field.name for field in dataclasses.fields(ResumeArguments) if field.name != "run"]
    kept = ResumeArguments(run, **{name: getattr(config, name) for name in names})
    given = tyro.cli(ResumeArguments, prog="polytask resume", args=arguments, default=kept)
    config = dataclasses.replace(config, **{name: getattr(given, name) for name in names})
    return _train(config, {config.seed: run})


def parse(arguments: list[str]) -> TrainArguments:
    """What was asked for."""
    loss = value_of(arguments, "--loss", "")
    if loss in OF_HEADS:
        raise ValueError(
            f"--loss {loss} is for problems with heads, such as {PREFIX}multidigits; {_named(arguments)[0]} ends in a "
            f"decision and takes {', '.join(LOSSES)}"
        )
    return tyro.cli(TrainArguments, prog="polytask train", args=arguments)


def default_folder(config: DecisionConfig) -> Path:
    """`runs/newsvendor-taskmet-seed0`: what a person would call the run, the same for the same command."""
    metric = "" if config.metric == "input" else config.metric
    numbers = {"trace": config.trace, "temperature": config.temperature, "rate": config.learning_rate}
    changed = [f"{name}{value:g}" for name, value in numbers.items() if value]
    parts = (_slug(config.problem.removeprefix(PREFIX)), _slug(config.loss), metric, "per-task" * config.per_task)
    return Path("runs") / "-".join([part for part in (*parts, *changed) if part] + [f"seed{config.seed}"])


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+]+", "-", name).strip("-")


def _named(arguments: Sequence[str]) -> list[str]:
    return [argument for argument in arguments if argument.startswith(PREFIX)]


def _train(config: DecisionConfig, runs: Mapping[int, Path]) -> int:
    """Trains a run for each seed, showing what, and ends with the table and the report."""
    from polytask.decisions.case import resolved
    from polytask.decisions.run import train
    from polytask.losses.learner import LearnerError

    case = resolve_decision(config.problem)
    config = resolved(case, config)
    _announce(config, case, runs)
    first = next(iter(runs.values()))
    go_on = f"polytask resume {shlex.quote(str(first))}" if len(runs) == 1 else "the same command"
    together = first.with_name(f"{first.name}-and-{len(runs) - 1}-more.html")
    report = first / "report.html" if len(runs) == 1 else together
    try:
        if not finished(lambda: train(config, case, runs), go_on):
            return INTERRUPTED
    except LearnerError:
        conclude(list(runs.values()), report)
        raise
    conclude(list(runs.values()), report)
    for run in runs.values():
        print(f"run     {run}")
    return 0


def _announce(config: DecisionConfig, case: "Case", runs: Mapping[int, Path]) -> None:
    from rich.console import Console

    from polytask.decisions.case import steps_of_update

    console = Console(highlight=False)
    unit = steps_of_update(case, config)
    outer = ""
    if config.loss == "taskmet":
        counts = f", which count as {unit} each" if unit > 1 else ""
        outer = f": {config.steps // unit:,} outer ones of {case.inner_steps} inner steps{counts}"
    kinds = {"input": "depends on the input", "diagonal": "a weight for each output", "full": "a matrix"}
    metric = kinds[config.metric] + ", one for each task" * config.per_task
    metric += f", mean trace held at {config.trace:g}" if config.trace else ""
    batch = f"{config.batch_size:,} instances" if config.batch_size else "all instances"
    lines = {
        "problem": config.problem,
        "predict": f"{case.outputs} output{'s' * (case.outputs > 1)} of a row, from {case.features} features, by a "
        + ("linear predictor" if case.predictor is None else "predictor of the problem's own"),
        **({"tasks": ", ".join(case.tasks)} if case.tasks else {}),
        "loss": config.loss + (f" at temperature {config.temperature:g}" if len(case.temperatures) > 1 else ""),
        **({"metric": metric} if config.loss == "taskmet" else {}),
        "step": f"adam {config.learning_rate:g}, {batch}",
        "steps": f"{config.steps:,}{outer}",
        "": f"evaluated every {config.eval_every:,}, saved every {config.checkpoint_every:,}",
        "seed": ", ".join(map(str, runs)),
        "run": ", ".join(map(str, runs.values())),
    }
    for name, text in lines.items():
        console.print(f"{name:<7} {text}", markup=False, soft_wrap=True)
    console.print()


def facts(cases: "Sequence[tuple[str, Case]]") -> "Table":
    """What is predicted in each problem, and what it can be learned from; needs no data."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("problem", overflow="fold")
    for heading in ("features", "outputs", "tasks", "steps"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("--loss", overflow="fold")
    for name, case in cases:
        every = case.losses == LOSSES
        losses = "any" if every else "any but " + ", ".join(loss for loss in LOSSES if loss not in case.losses)
        numbers = (case.features, case.outputs, max(1, len(case.tasks)), f"{case.steps:,}")
        table.add_row(*map(Text, (PREFIX + name, *map(str, numbers), losses)))
    return table
