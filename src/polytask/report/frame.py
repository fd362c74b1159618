"""The numbers of runs as a tidy table: a line for each run, step, task and metric."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from polytask.lazy import optional
from polytask.report.data import read_lines
from polytask.report.methods import compared
from polytask.runs.folder import EVALUATIONS, METRICS, RunFolder
from polytask.runs.old import upgrade_config, upgrade_evaluation

Row = dict[str, Any]
COLUMNS = ("run", "task", "step", "metric", "value", "seed")


def results(runs: Path | str | Iterable[Path | str], training: bool = False) -> Any:
    """The evaluations of run folders as a tidy pandas.DataFrame, made to be filtered, grouped, pivoted and plotted.

    A row is one number: `run` (the folder's name, or its path where names repeat), `task` (missing for numbers of the
    whole model), `step`, `metric` (such as "score", as in evaluations.jsonl), `value` (a mean where there are several,
    such as one for each episode), `seed`; then a column for each field of the configurations in which the runs differ.
    With `training` also what metrics.jsonl holds, its metrics called "training/loss" and so on.

    Raises ValueError if no run is given, RunFolderError for a folder that holds none, and ImportError, with the command
    that installs it, without pandas.
    """
    found = [runs] if isinstance(runs, Path | str) else list(runs)
    columns, rows = tidy(found, training)
    return optional("pandas", "tables").DataFrame(rows, columns=list(columns))


def write_csv(runs: Sequence[Path | str], file: Path) -> Path:
    """The same with training, as CSV in UTF-8; needs no pandas. Raises as `results`, and OSError."""
    columns, rows = tidy(runs, training=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
    return file


def tidy(runs: Sequence[Path | str], training: bool) -> tuple[tuple[str, ...], list[Row]]:
    """The names of the columns, and the rows in the order of runs and steps."""
    if not runs:
        raise ValueError("no run to read; give one or more run folders")
    paths = list(dict.fromkeys(map(Path, runs)))
    configs = [RunFolder(path).read_config() for path in paths]
    names = [path.resolve().name for path in paths]
    flat = [{"kind": upgrade_config(dict(c))["kind"], **compared(c)} for c in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    differing = [key for key in keys if len({json.dumps(one.get(key), sort_keys=True) for one in flat}) > 1]
    rows: list[Row] = []
    for path, name, config, fields in zip(paths, names, configs, flat, strict=True):
        shown = {key: _cell(fields.get(key)) for key in differing}
        head = {"run": name if names.count(name) == 1 else str(path), "seed": config.get("seed")}
        evaluated = [
            upgrade_evaluation(line, upgrade_config(dict(config))) for line in read_lines(path / EVALUATIONS, [])
        ]
        rows += [{**head, **row, **shown} for line in evaluated for row in _numbers(line, "")]
        if training:
            logged = read_lines(path / METRICS, [])
            rows += [{**head, **row, **shown} for line in logged for row in _numbers(line, "training/")]
    return (*COLUMNS, *differing), rows


def _numbers(line: Row, prefix: str) -> Iterable[Row]:
    """Every number of a line, by metric and task."""
    for metric, value in line.items():
        if metric == "task":
            for name, by_task in value.items():
                for task, given in by_task.items():
                    if (mean := _mean(given)) is not None:
                        yield {"task": task, "step": line["step"], "metric": prefix + name, "value": mean}
        elif metric == "time":
            for part, seconds in value.items():
                yield {"task": None, "step": line["step"], "metric": f"{prefix}time/{part}", "value": seconds}
        elif metric != "step" and isinstance(value, int | float):
            yield {"task": None, "step": line["step"], "metric": prefix + metric, "value": value}


def _mean(given: Any) -> float | None:
    values = [v for v in (given if isinstance(given, list) else [given]) if isinstance(v, int | float)]
    return sum(values) / len(values) if values else None


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
