"""What `polytask train`, `tasks` and `evaluate` show of predictors that feed a decision."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polytask.decisions.config import LOSSES
from polytask.tasks.suite import PROBLEM_PREFIX
from polytask.training.show import print_lines

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.decisions.case import Case
    from polytask.decisions.config import DecisionConfig
    from polytask.decisions.testing import Tested


def show(config: "DecisionConfig", case: "Case", runs: Mapping[int, Path]) -> None:
    """Prints what will be trained."""
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
    patience = f", patience {config.patience}" if config.patience else ""
    lines = {
        "problem": config.problem,
        "predict": f"{case.outputs} output{'s' * (case.outputs > 1)} of a row, from {case.features} features, by a "
        + ("linear predictor" if case.predictor is None else "predictor of the problem's own"),
        **({"tasks": ", ".join(case.tasks)} if case.tasks else {}),
        "loss": config.loss + (f" at temperature {config.temperature:g}" if len(case.temperatures) > 1 else ""),
        **({"metric": metric} if config.loss == "taskmet" else {}),
        "step": f"adam {config.learning_rate:g}, {batch}",
        "steps": f"{config.steps:,}{outer}",
        "": f"evaluated every {config.eval_every:,}{patience}, saved every {config.checkpoint_every:,}",
    }
    print_lines(console, lines, config, runs)


def case_table(cases: "Sequence[tuple[str, Case]]") -> "Table":
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
        table.add_row(*map(Text, (f"{PROBLEM_PREFIX}{name}", *map(str, numbers), losses)))
    return table


def measured(tested: "Tested") -> "Table":
    """The figures of the test data."""
    from rich.table import Table

    from polytask.evaluation.statistics import cells

    title = f"step {tested.step:,}, {tested.instances:,} test instances"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for heading in ("mean", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = {
        "decision quality": tested.decision,
        "squared error": tested.squared_error,
        "objective": tested.objective,
        "of who knows the truth": tested.oracle,
        "of random decisions": tested.random,
    }
    for name, estimate in rows.items():
        table.add_row(name, *cells(estimate))
    return table
