"""What a sweep found: the best configurations, and what each setting does, over seeds."""

import csv
import dataclasses
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from polytask.evaluation import text
from polytask.evaluation.statistics import Estimate, stratified_bootstrap, task_mean
from polytask.report import html
from polytask.report.data import Run, read_run
from polytask.report.results import rng
from polytask.runs import storage
from polytask.runs.folder import CONFIG
from polytask.runs.records import Schema
from polytask.sweeps import config
from polytask.sweeps.config import SEED, SweepConfig, Trial
from polytask.sweeps.run import reached

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHOWN = 6
"""The best configurations whose runs have the other sections of the page."""
RESULTS = "results.csv"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep's folder as the report reads it: every trial with its run, None for one that has not begun."""

    folder: Path
    config: SweepConfig
    runs: tuple[tuple[Trial, Run | None], ...]

    @property
    def evaluated(self) -> list[tuple[Trial, Run]]:
        return [(trial, run) for trial, run in self.runs if run is not None and run.evaluations.steps.size]

    @property
    def unfinished(self) -> list[Trial]:
        """The trials that have not reached their last step; with halving those that stopped are among them."""
        return [trial for trial, _ in self.runs if not reached(self.folder / trial.name, trial.config.steps)]


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A configuration at the last step that all of its runs have evaluated; the mean score is over tasks and seeds."""

    settings: dict[str, str]
    runs: tuple[Run, ...]
    step: int
    score: Estimate


@dataclasses.dataclass(frozen=True)
class Effect:
    """The mean score of all runs in which a setting has a value, with its interval over seeds."""

    setting: str
    value: str
    runs: int
    seeds: int
    score: Estimate


def read_sweep(folder: Path) -> Sweep:
    """Everything that the report needs. Raises RunFolderError for a damaged sweep, ValueError before any run began."""
    found = config.read(folder)
    runs = []
    for trial in config.trials(found):
        run = folder / trial.name
        runs.append((trial, read_run(run) if (run / CONFIG).exists() else None))
    if all(run is None for _, run in runs):
        raise ValueError(f"no run of {folder} has begun; polytask resume {folder} trains them")
    return Sweep(folder, found, tuple(runs))


def _scores(runs: Sequence[Run], step: int) -> Float[np.ndarray, "runs tasks"]:
    """The tasks' scores at a step; NaN where a run lacks the step or a task."""
    names = list(dict.fromkeys(spec.name for run in runs for spec in run.specs))
    found = np.full((len(runs), len(names)), np.nan)
    for row, run in zip(found, runs, strict=True):
        at = np.flatnonzero(run.evaluations.steps == step)
        if at.size:
            row[[names.index(spec.name) for spec in run.specs]] = run.evaluations.scores[at[-1]]
    return found


def _last_common(runs: Sequence[Run]) -> int | None:
    steps = set.intersection(*(set(run.evaluations.steps.tolist()) for run in runs)) if runs else set()
    return max(steps, default=None)


def ranking(sweep: Sweep) -> list[Ranked]:
    """The configurations that were evaluated: those that trained longest first, of these the best first."""
    groups: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for trial, run in sweep.evaluated:
        groups.setdefault(trial.configuration, []).append(run)
    found = []
    for settings, runs in groups.items():
        step = _last_common(runs)
        if step is not None:
            score = stratified_bootstrap(_scores(runs, step), task_mean, rng=rng())
            found.append(Ranked(dict(settings), tuple(runs), step, score))
    return sorted(found, key=lambda one: (-one.step, -one.score.value if math.isfinite(one.score.value) else math.inf))


def effects(sweep: Sweep) -> tuple[int | None, list[Effect]]:
    """The last step that all evaluated runs share, and the main effect of every value of every setting at it.

    A seed's score of a value is its mean over all configurations with that value, so that the interval is over seeds.
    """
    step = _last_common([run for _, run in sweep.evaluated])
    found = []
    for setting, values in sweep.config.over.items() if step is not None else ():
        for value in values if setting != SEED else ():
            chosen = [(trial, run) for trial, run in sweep.evaluated if trial.settings[setting] == value]
            seeds: dict[int, list[Run]] = {}
            for trial, run in chosen:
                seeds.setdefault(trial.config.seed, []).append(run)
            if seeds:
                assert step is not None
                means = [_scores(runs, step) for runs in seeds.values()]
                rows = np.array([[float(task_mean(scores))] for scores in means])
                score = stratified_bootstrap(rows, task_mean, rng=rng())
                found.append(Effect(setting, value, len(chosen), len(seeds), score))
    return step, found


def _settings(settings: dict[str, str]) -> str:
    return " ".join(f"{name.rpartition('.')[2]}={value}" for name, value in settings.items()) or "all settings"


def _notes(sweep: Sweep) -> list[str]:
    """What the figures leave out."""
    names = [trial.name for trial in sweep.unfinished]
    if not names:
        return []
    why = "stopped by halving, or not finished" if sweep.config.halving else "not finished"
    return [f"{len(names)} of {text.plural(len(sweep.runs), 'run')} {why}: {text.listed(names)}"]


def _spread(found: Sequence[Effect], setting: str) -> float:
    """How far the values of a setting lie apart: what orders the settings."""
    values = [effect.score.value for effect in found if effect.setting == setting]
    known = [value for value in values if math.isfinite(value)]
    return max(known) - min(known) if known else 0.0


def _ordered(found: Sequence[Effect]) -> list[Effect]:
    return sorted(found, key=lambda effect: -_spread(found, effect.setting))


def _cells(schema: Schema, score: Estimate) -> tuple[str, str]:
    return schema.score(score.value), schema.bounds(score)


def _rows(sweep: Sweep) -> tuple[list[list[str]], int | None, list[list[str]]]:
    """The cells of both tables."""
    best, (step, found) = ranking(sweep), effects(sweep)
    schema = next(run.schema for _, run in sweep.runs if run is not None)
    ranked = [[_settings(r.settings), str(len(r.runs)), text.steps(r.step), *_cells(schema, r.score)] for r in best]
    shown = [
        [f"{e.setting.rpartition('.')[2]}={e.value}", str(e.runs), *_cells(schema, e.score)] for e in _ordered(found)
    ]
    return ranked, step, shown


def render(sweep: Sweep, console: "Console") -> None:
    """Prints both tables, readable in 80 columns."""
    ranked, step, found = _rows(sweep)
    console.print(_table("best configurations", ("settings", "seeds", "step", "score", "95 % over seeds"), ranked[:10]))
    if len(ranked) > 10:
        console.print(f"and {len(ranked) - 10} more", highlight=False)
    if found:
        title = f"what each setting does, at step {text.steps(step or 0)}"
        console.print()
        console.print(_table(title, ("setting", "runs", "mean score", "95 % over seeds"), found))
    for note in _notes(sweep):
        console.print(note, markup=False, highlight=False)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    from rich.markup import escape as marked
    from rich.table import Table

    table = Table(title=title, show_edge=False)
    table.add_column(head[0], overflow="fold")
    for name in head[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(marked, row))
    return table


def section(sweep: Sweep) -> str:
    """The section of the page."""
    ranked, step, found = _rows(sweep)
    if not ranked:
        return html.section("sweep", "Sweep", html.missing("No run has been evaluated yet."))
    head = ("settings", "seeds", "step", "score", "95 % over seeds")
    parts = [html.table(head, [[escape(cell) for cell in row] for row in ranked], ("", "n", "n", "n", "n"))]
    if len(ranked) > SHOWN:
        parts.append(html.paragraph(f"The sections below are about the first {SHOWN}."))
    if found:
        head = ("setting", "runs", "mean score", "95 % over seeds")
        about = (
            f"What each setting does, at step {text.steps(step or 0)}, the last that all runs have evaluated: the mean "
            "score of all runs with a value. Settings whose values lie furthest apart come first."
        )
        rows = [[escape(cell) for cell in row] for row in found]
        parts += [html.paragraph(about), html.table(head, rows, ("", "n", "n", "n"))]
    return html.section("sweep", "Sweep", *parts, *map(html.paragraph, _notes(sweep)))


def shown_runs(sweep: Sweep) -> list[Path]:
    """The folders of the best configurations' runs; of all that have begun where none is evaluated."""
    best = [run.path for one in ranking(sweep)[:SHOWN] for run in one.runs]
    return best or [run.path for _, run in sweep.runs if run is not None]


def write_results(sweep: Sweep) -> Path:
    """Writes a line for each trial, with every task's last score, into results.csv; returns the file.

    Where pyarrow is installed results.parquet holds the same. Raises StorageError.
    """
    names = list(dict.fromkeys(spec.name for _, run in sweep.runs if run is not None for spec in run.specs))
    settings = list(sweep.config.over)
    unfinished = {trial.name for trial in sweep.unfinished}
    file = sweep.folder / RESULTS
    with storage.writing(file, sweep.folder):
        temporary = file.with_name(storage.TEMPORARY + file.name)
        with temporary.open("w", newline="") as out:
            lines = csv.writer(out)
            lines.writerow(["run", *settings, "finished", "step", "seconds", "score", *names])
            for trial, run in sweep.runs:
                own = [trial.name, *trial.settings.values(), trial.name not in unfinished]
                lines.writerow([*own, *_last(run, names)])
        temporary.replace(file)
    try:
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        return file
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(file), file.with_suffix(".parquet"))
    return file


def _last(run: Run | None, names: Sequence[str]) -> list[Any]:
    """A run's last step, seconds, mean score and scores of the tasks named; empty where there is nothing."""
    if run is None or not run.evaluations.steps.size:
        return [""] * (3 + len(names))
    step = int(run.evaluations.steps[-1])
    scores = _scores([run], step)
    own = dict(zip((spec.name for spec in run.specs), scores[0].tolist(), strict=True))
    values = [run.seconds, float(task_mean(scores)), *(own.get(name, math.nan) for name in names)]
    return [step, *("" if math.isnan(value) else value for value in values)]
