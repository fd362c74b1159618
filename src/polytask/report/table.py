"""The final table for the terminal, readable in 80 columns."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polytask.evaluation import text
from polytask.report.decisions import estimates
from polytask.report.material import Material, gather, score_word
from polytask.report.methods import Method
from polytask.report.published import Published
from polytask.report.results import MethodResult, TaskResult, task_scores
from polytask.runs.records import Schema

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def _interval(task: TaskResult, schema: Schema) -> str:
    if task.score.has_interval:
        return schema.bounds(task.score)
    return task.over if math.isfinite(task.score.value) else text.MISSING


def _one_method(
    method: Method, result: MethodResult, published: Published | None, names: dict[str, str], schema: Schema
) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    point = published.index_at(result.step) if published else None
    scored = [s for s, t in zip(method.specs, result.tasks, strict=True) if math.isfinite(t.score.value)]
    over = sorted({t.over for t in result.tasks if t.score.has_interval})
    table = Table(
        title=f"{text.plural(len(method.specs), 'task')} at {text.steps(result.step)} {schema.unit}", show_edge=False
    )
    table.add_column("task", overflow="ellipsis", no_wrap=True)
    table.add_column(score_word(scored) if scored else "score", justify="right")
    table.add_column(schema.beside_name, justify="right")
    table.add_column(f"95 % over {'/'.join(over)}" if over else "95 % interval", justify="right", max_width=16)
    also = [(heading, _also(method, result.step, name)) for name, heading in schema.also]
    also = [(heading, figures) for heading, figures in also if figures]
    for heading, _ in also:
        table.add_column(heading, justify="right")
    if published and point is not None:
        table.add_column(f"BRC published, {text.steps(int(published.steps[point]))}", justify="right", max_width=14)
    for task in result.tasks:
        cells = [escape(names[task.name]), schema.score(task.score.value), text.number(task.returned)]
        cells.append(_interval(task, schema))
        cells += [schema.score(figures.get(task.name)) for _, figures in also]
        table.add_row(*cells, *([text.score(task.published)] if point is not None else []))
    if scored and len(method.specs) > 1:
        table.add_section()
        interval = schema.bounds(result.mean) if result.mean.has_interval else text.plural(len(method.seeds), "seed")
        mean = (
            text.score(float(published.mean[point]))
            if published and published.mean is not None and point is not None
            else ""
        )
        empty = [""] * len(also)
        table.add_row(
            "mean", schema.score(result.mean.value), "", interval, *empty, *([mean] if point is not None else [])
        )
    return table


def _also(method: Method, step: int, name: str) -> dict[str, float]:
    """A further figure of each task that has it at a step: its mean over the seeds."""
    found: dict[str, list[float]] = {}
    for run in method.runs:
        for row in run.evaluations.also[name][run.evaluations.steps == step]:
            for spec, value in zip(run.specs, row.tolist(), strict=True):
                if math.isfinite(value):
                    found.setdefault(spec.name, []).append(value)
    return {task: sum(values) / len(values) for task, values in found.items()}


def _several(material: Material) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    assert material.step is not None
    schema = material.schema
    table = Table(title=f"scores at {text.steps(material.step)} {schema.unit}", show_edge=False)
    table.add_column("task", overflow="ellipsis", no_wrap=True)
    evaluated = [m for m in material.methods if material.step in m.steps]
    for letter in _letters(len(evaluated)):
        table.add_column(letter, justify="right")
    columns = [
        dict(zip(m.names, (e.value for e in task_scores(m, material.step, m.names)), strict=True)) for m in evaluated
    ]
    for spec in material.specs:
        table.add_row(escape(material.names[spec.name]), *(schema.score(c.get(spec.name)) for c in columns))
    if material.shared:
        table.add_section()
        means = [sum(c[n] for n in material.shared) / len(material.shared) for c in columns]
        table.add_row(f"mean of {text.plural(len(material.shared), 'task')}", *map(schema.score, means))
    return table


def _decisions(material: Material) -> "Table":
    """Each method's decision quality with the squared error of its predictions beside it."""
    from rich.markup import escape
    from rich.table import Table

    evaluated = [m for m in material.methods if m.steps.size]
    ends = sorted({int(m.steps[-1]) for m in evaluated})
    table = Table(
        title=f"decision quality on the test data at {' or '.join(map(text.steps, ends))} steps", show_edge=False
    )
    table.add_column("method" if len(evaluated) > 1 else "decision", overflow="fold")
    for heading in ("seeds", "quality", "95 %", "squared error", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method in evaluated:
        quality, error = estimates(method)
        name = method.label if len(evaluated) > 1 else f"{method.names[0]}, {method.label}"
        own = f"{text.number(error.low)} to {text.number(error.high)}" if error.has_interval else text.MISSING
        cells = (material.schema.score(quality.value), material.schema.bounds(quality), text.number(error.value), own)
        table.add_row(escape(name), str(len(method.seeds)), *cells)
    return table


def _letters(count: int) -> list[str]:
    return [chr(ord("A") + i) if i < 26 else str(i) for i in range(count)]


def render_table(runs: Path | Sequence[Path], console: "Console") -> None:
    """Prints the scores at the last checkpoint: of one method with returns and intervals, of several side by side.

    Of decisions, their quality and the squared error of the predictions, a line for each method.

    Raises ValueError if no run is given or a folder is not a run folder.
    """
    material = gather([runs] if isinstance(runs, Path) else runs)
    if material.schema.against and any(m.steps.size for m in material.methods):
        console.print(_decisions(material))
        return
    if len(material.methods) == 1:
        result = material.results[0]
        if result is None:
            console.print("No evaluation has been recorded yet, so there is no table; see --eval-every.")
            return
        console.print(_one_method(material.methods[0], result, material.published[0], material.names, material.schema))
        return
    evaluated = [m for m in material.methods if m.steps.size]
    if material.step is None:
        console.print("The runs share no evaluation step, so there is nothing to put side by side.")
        return
    console.print(_several(material))
    for letter, method in zip(_letters(len(evaluated)), evaluated, strict=True):
        console.print(
            f"{letter}  {method.label} ({text.plural(len(method.seeds), 'seed')})", highlight=False, markup=False
        )
