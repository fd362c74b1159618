"""`polytask train` and `polytask resume` where data is learned from rather than simulators."""

import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.commands.shared import INTERRUPTED, KEPT, affinity_in_full, conclude, finished, value_of
from polytask.decisions.config import LOSSES as OF_DECISIONS
from polytask.problems import DECISIONS, PREFIX, settings
from polytask.runtime.config import GROUPED
from polytask.supervised.config import RunConfig

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.runtime.groups import Group
    from polytask.supervised.problem import Problem


@dataclasses.dataclass(frozen=True)
class TrainArguments(RunConfig):
    """Trains one model with a head for each task; ends with a table and report.html.

    Problems: multidigits, planted-clusters, digit-attributes-2 to -40.

    Your own: problems/my_module:make_problem, a function that returns one.

    Where the run folder already holds this run, it goes on from its checkpoint.
    """

    problem: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROBLEM", help_behavior_hint="")] = ""
    """problems/multidigits, problems/digit-attributes-20, problems/my_module:make_problem, ..."""
    run: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The run folder; by default runs/ with the names of problem, combiner and seed."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None
    """Passes over the training rows, in place of steps; each is evaluated unless --eval-every is given."""
    groups: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """One model for each group of the file that `polytask group` wrote, one after another, reported as one."""


@dataclasses.dataclass(frozen=True)
class ResumeArguments:
    """Goes on with a run from its newest checkpoint as if it had not stopped.

    What is not given stays as it is in the run.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    steps: Annotated[int, KEPT] = 0
    """Gradient steps, in total."""
    affinity_every: Annotated[int, KEPT] = 0
    """Steps between measurements of what tasks do to each other; 0 measures never."""
    tensorboard: Annotated[bool, KEPT] = False
    """Log for TensorBoard."""
    wandb: Annotated[bool, KEPT] = False
    """Log to Weights & Biases."""


def is_supervised(arguments: Sequence[str]) -> bool:
    """Whether `polytask train` is asked to learn from data."""
    return any(argument.startswith(PREFIX) for argument in arguments)


def train(arguments: list[str]) -> int:
    """Parses and runs."""
    arguments = affinity_in_full(arguments)
    given = parse(arguments)
    problem = _resolve(given)
    config = RunConfig(**{field.name: getattr(given, field.name) for field in dataclasses.fields(RunConfig)})
    if given.epochs is not None:
        if given.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {given.epochs}")
        from polytask.supervised.training import steps_per_epoch

        each = steps_per_epoch(problem.train.inputs.shape[0], config)
        every = config.eval_every if value_of(arguments, "--eval-every", "") else each
        config = dataclasses.replace(config, steps=given.epochs * each, eval_every=every)
    if given.groups is None:
        return _train(config, problem, given.run or default_folder(config))
    from polytask.runtime.groups import read_groups

    usual = default_folder(config)
    return _train(config, problem, given.run or usual.with_name(f"{usual.name}-groups"), read_groups(given.groups))


def resume(arguments: list[str], run: Path, content: dict[str, Any]) -> int:
    """Parses and runs; `content` is the run's config.json."""
    from polytask.supervised.run import from_json

    config, _ = from_json(content)
    names = [field.name for field in dataclasses.fields(ResumeArguments) if field.name != "run"]
    kept = ResumeArguments(run, **{name: getattr(config, name) for name in names})
    given = tyro.cli(ResumeArguments, prog="polytask resume", args=arguments, default=kept)
    config = dataclasses.replace(config, **{name: getattr(given, name) for name in names})
    if GROUPED not in content:
        return _train(config, _resolve(config), run)
    from polytask.runtime.groups import GROUPS, read_groups

    return _train(config, _resolve(config), run, read_groups(run / GROUPS))


def parse(arguments: list[str]) -> TrainArguments:
    """What was asked for, over the settings of the problem that is named."""
    name = next(argument for argument in arguments if argument.startswith(PREFIX))
    loss = value_of(arguments, "--loss", "")
    if loss in OF_DECISIONS:
        raise ValueError(
            f"--loss {loss} learns from decisions, and {name} ends in none: it takes likelihood, squared-error or "
            f"task-weighted. Problems that end in one: {', '.join(PREFIX + known for known in DECISIONS)}"
        )
    usual = settings(name)
    default = TrainArguments(**{field.name: getattr(usual, field.name) for field in dataclasses.fields(usual)})
    return tyro.cli(TrainArguments, prog="polytask train", args=arguments, default=default)


def default_folder(config: RunConfig) -> Path:
    """`runs/multidigits-pcgrad-seed0`: what a person would call the run, the same for the same command."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", config.problem.removeprefix(PREFIX)).strip("-")
    shown = config.tasks if len(config.tasks) <= 3 else (*config.tasks[:2], f"{len(config.tasks) - 2}-more")
    combine = re.sub(r"[^A-Za-z0-9._]+", "-", config.combine).strip("-")
    loss = "-".join((config.loss, *config.relevance)).replace("=", "") if config.loss != "likelihood" else ""
    parts = (slug, "+".join(shown), loss, combine, f"seed{config.seed}")
    return Path("runs") / "-".join(part for part in parts if part)


def _resolve(config: RunConfig) -> "Problem":
    from polytask.problems import resolve

    return resolve(config.problem, config.data_seed)


def _train(config: RunConfig, problem: "Problem", run: Path, groups: "Sequence[Group]" = ()) -> int:
    """Trains one model, or one for each group, showing what, and ends with the table and the report."""
    from polytask.supervised.run import train

    _announce(config, problem.only(config.tasks) if config.tasks else problem, run)
    for i, group in enumerate(groups):
        print(f"group{i + 1}  {', '.join(group.tasks)}")
    go_on = f"polytask resume {shlex.quote(str(run))}"

    def training() -> bool:
        if not groups:
            return train(config, problem, run)
        from polytask.supervised.grouped import train_groups

        return train_groups(config, problem, groups, run)

    if not finished(training, go_on):
        return INTERRUPTED
    conclude([run], run / "report.html")
    print(f"run     {run}")
    return 0


def _announce(config: RunConfig, problem: "Problem", run: Path) -> None:
    from rich.console import Console

    from polytask.supervised.training import steps_per_epoch

    console = Console(highlight=False)
    console.print(facts(problem))
    rows = [part.inputs.shape[0] for part in (problem.train, problem.validation, problem.test)]
    shape = " x ".join(map(str, problem.train.inputs.shape[1:]))
    epochs = config.steps / steps_per_epoch(rows[0], config)
    batch = min(config.batch_size or rows[0], rows[0])
    trunk = "the problem's own"
    if problem.make_trunk is None:
        dropout = f", dropout {config.trunk.dropout:g}" if config.trunk.dropout else ""
        trunk = f"{config.trunk.depth} x {config.trunk.width} {config.trunk.activation}{dropout}"
    patience = f", patience {config.patience}" if config.patience else ""
    optimiser = config.optimiser
    decay = f", weight decay {optimiser.weight_decay:g}" if optimiser.weight_decay else ""
    lines = {
        "problem": f"{config.problem}, data seed {config.data_seed}",
        "rows": f"{rows[0]:,} to train, {rows[1]:,} to validate, {rows[2]:,} to test, each {shape}",
        "trunk": trunk,
        **({"loss": " ".join((config.loss, *config.relevance))} if config.loss != "likelihood" else {}),
        "step": f"{config.combine}, scale {config.combine_scale}; "
        f"{optimiser.kind} {optimiser.learning_rate:g}{decay}, {batch:,} rows",
        "steps": f"{config.steps:,} ({epochs:,.0f} epochs), evaluated every {config.eval_every:,}{patience}",
        **({"affinity": f"measured every {config.affinity_every:,} steps"} if config.affinity_every else {}),
        "seed": str(config.seed),
        "run": str(run),
    }
    console.print()
    for name, text in lines.items():
        console.print(f"{name:<7} {text}", markup=False, soft_wrap=True)
    console.print()


def facts(problem: "Problem") -> "Table":
    """The tasks, one line for those of one kind and size where they are many."""
    from rich.table import Table
    from rich.text import Text

    labels = problem.train.present.sum(0).tolist()
    alike: dict[tuple[str, int, Any], list[int]] = {}
    for i, task in enumerate(problem.tasks):
        alike.setdefault((task.kind, task.outputs, i if len(problem.tasks) <= 8 else None), []).append(i)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=40)
    for heading in ("kind", "judged"):
        table.add_column(heading, no_wrap=True)
    for heading in ("outputs", "labels"):
        table.add_column(heading, justify="right")
    for (kind, outputs, _), members in alike.items():
        first = problem.tasks[members[0]].name
        name = first if len(members) == 1 else f"{len(members)} tasks: {first}, ..."
        counts = sorted({labels[i] for i in members})
        count = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        judged = "R²" if kind == "regression" else "accuracy"
        table.add_row(Text(name), kind, judged, str(outputs), count)
    return table
