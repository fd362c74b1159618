"""What `polytask train` and `polytask tasks` show of problems with heads."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polytask.supervised.schema import score_name
from polytask.supervised.spec import dense
from polytask.training.show import print_lines

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from polytask.supervised.config import TrainConfig
    from polytask.supervised.problem import Problem
    from polytask.supervised.tables.table import Table as DataTable
    from polytask.supervised.testing import Tested


def show(config: "TrainConfig", problem: "Problem", runs: Mapping[int, Path]) -> None:
    """Prints what will be trained."""
    from rich.console import Console

    from polytask.supervised.training import steps_per_epoch

    console = Console(highlight=False)
    console.print(task_table(problem))
    rows = [part.inputs.shape[0] for part in (problem.train, problem.validation, problem.test)]
    shape = " x ".join(map(str, problem.train.inputs.shape[1:]))
    epochs = config.steps / steps_per_epoch(rows[0], config)
    batch = min(config.batch_size or rows[0], rows[0])
    trunk = "the problem's own"
    if config.incremental:
        filters = f"the filters of {config.start_from} and" if config.start_from else "filters,"
        trunk = f"{filters} {config.trunk.depth} x {config.trunk.width} {'modulators' if config.start_from else 'wide'}"
    elif problem.make_trunk is None and dense(problem.tasks):
        trunk = f"an encoder-decoder of {config.trunk.width} channels, halved {config.trunk.depth} times"
    elif problem.make_trunk is None:
        dropout = f", dropout {config.trunk.dropout:g}" if config.trunk.dropout else ""
        trunk = f"{config.trunk.depth} x {config.trunk.width} {config.trunk.activation}{dropout}"
    patience = f", patience {config.patience}" if config.patience else ""
    evaluated = f"evaluated every {config.eval_every:,}" if config.eval_every else "never evaluated"
    scales = "standardised by the training rows; figures in units of the data"
    optimiser = config.optimiser
    decay = f", weight decay {optimiser.weight_decay:g}" if optimiser.weight_decay else ""
    lines = {
        "problem": f"{config.problem}, data seed {config.data_seed}",
        "rows": f"{rows[0]:,} to train, {rows[1]:,} to validate, {rows[2]:,} to test, each {shape}",
        "scales": "pixels from 0 to 1; labels in units of the data"
        if dense(problem.tasks)
        else scales
        if config.standardise
        else "as they are in the data",
        "trunk": trunk,
        **({"loss": " ".join((config.loss, *config.relevance))} if config.loss != "likelihood" else {}),
        **({"classes": "weigh alike, by the training rows"} if config.class_weights == "balanced" else {}),
        "step": f"{config.combine}, scale {config.combine_scale}; "
        f"{optimiser.kind} {optimiser.learning_rate:g}{decay}, {batch:,} rows",
        "steps": f"{config.steps:,} ({epochs:,.0f} epochs), {evaluated}{patience}",
    }
    console.print()
    print_lines(console, lines, config, runs)


def show_table(table: "DataTable") -> None:
    """Prints what was made of the columns of a table, before what will be trained."""
    from collections import Counter

    from rich.console import Console

    kinds = Counter(one.kind for one in table.inputs)
    words = {"number": "numbers", "category": "categories", "date": "dates"}
    counted = ", ".join(
        f"{kinds[kind]} {word if kinds[kind] > 1 else kind}" for kind, word in words.items() if kinds[kind]
    )
    lines = [
        *(("target", f"{target.name}: {target.kind}, {target.sentence}") for target in table.targets),
        ("inputs", f"{counted}, as {sum(one.width for one in table.inputs)} numbers"),
        ("split", table.split),
        *(("note", text) for text in table.notes),
    ]
    console = Console(highlight=False)
    for label, text in lines:
        console.print(f"{label:<7} {text}", markup=False, soft_wrap=True)
    console.print()


def task_table(problem: "Problem") -> "Table":
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
        table.add_row(Text(name), kind, score_name(kind), str(outputs), count)
    return table


def measured(tested: "Tested") -> "Group":
    """The figures of the test rows."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from polytask.evaluation.statistics import cells
    from polytask.supervised.dense import ERRORS
    from polytask.supervised.schema import SCHEMA

    table = Table(
        title=f"step {tested.step:,}, test rows, units of the data",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column("task", overflow="fold")
    for heading in ("rows", "score", "95 %", "loss", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("score is", no_wrap=True)
    for test in tested.tasks:
        row = (test.task.name, f"{test.rows:,}", *cells(test.score), *cells(test.loss), score_name(test.task.kind))
        table.add_row(*map(Text, row))
    classes = [test for test in tested.tasks if test.task.kind in ("binary", "classes")]
    beside = Table(box=None, padding=(0, 2, 0, 0))
    beside.add_column("task", overflow="fold")
    for heading in ("F1", "AUC"):
        beside.add_column(heading, justify="right", no_wrap=True)
    for test in classes:
        beside.add_row(*map(Text, (test.task.name, SCHEMA.score(test.f1), SCHEMA.score(test.auc))))
    pixels = Table(box=None, padding=(0, 2, 0, 0))
    pixels.add_column("task", overflow="fold")
    for heading in ("error", "95 %"):
        pixels.add_column(heading, justify="right", no_wrap=True)
    pixels.add_column("error is", no_wrap=True)
    errors = [(test.task, test.error) for test in tested.tasks if test.error]
    for task, error in errors:
        pixels.add_row(*map(Text, (task.name, *cells(error), ERRORS[task.kind])))
    return Group(table, *(("", beside) if classes else ()), *(("", pixels) if errors else ()))
