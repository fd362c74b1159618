"""The report's main charts as figures of matplotlib, to be shown in a notebook, changed, and saved for a paper."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from polytask.evaluation import text
from polytask.evaluation.statistics import aggregate_curve, task_mean
from polytask.report.material import Material, gather, score_word, shared_scores
from polytask.report.methods import Method
from polytask.report.plot import MUTED, PAPER, STYLE, series_style
from polytask.report.results import rng, task_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = 4  # in a row
_DOTS = 200  # an inch


class Picture(Figure):
    """A figure that a notebook shows as it is, whatever backend it has."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        with rc_context(STYLE):
            self.savefig(drawn, format="png")
        return drawn.getvalue()


def figures(runs: Path | str | Iterable[Path | str]) -> dict[str, Picture]:
    """Figures of run folders, by name; runs that differ only in their seed are one method, as in the report.

    - "learning": the mean score over the tasks that all methods share, with 95 % stratified-bootstrap bands over seeds.
    - "tasks": the score of every task, likewise.
    - "scores": the last scores of every task and method side by side, with their intervals.

    What was never evaluated has no figure. Raises ValueError if no run is given or a folder is not a run folder.
    """
    material = gather([Path(runs)] if isinstance(runs, Path | str) else [Path(run) for run in runs])
    if material.step is None or not material.shared:
        return {}
    found = {"learning": _learning(material)}
    if len(material.specs) > 1:
        found["tasks"] = _tasks(material)
    return {**found, "scores": _scores(material)}


def write_figures(runs: Sequence[Path], folder: Path) -> list[Path]:
    """Each figure as NAME.png and NAME.svg in a folder, which is made. Raises as `figures`, and OSError."""
    made = figures(runs)
    if not made:
        raise ValueError("there is nothing to draw: no evaluation that all runs share has been recorded yet")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in made.items():
        with rc_context(STYLE):
            figure.savefig(folder / f"{name}.png", dpi=_DOTS, metadata={"Software": None})
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        written += [folder / f"{name}.png", folder / f"{name}.svg"]
    return written


def _learning(material: Material) -> Picture:
    figure, ((axes,),) = _grid(1, 1, (6.4, 3.6))
    for index, method in _evaluated(material):
        _draw(axes, method, shared_scores(method, material.shared), index)
    axes.set_ylabel(f"{score_word(_shared(material))}, mean of {text.plural(len(material.shared), 'task')}")
    _finish(figure, axes, material)
    return figure


def _tasks(material: Material) -> Picture:
    specs = material.specs
    columns = min(_PANELS, len(specs))
    rows = -(-len(specs) // columns)
    figure, panels = _grid(rows, columns, (2.2 * columns + 0.6, 1.7 * rows + 0.9))
    for place, axes in enumerate(np.ravel(panels)):
        if place >= len(specs):
            axes.set_axis_off()
            continue
        spec = specs[place]
        for index, method in _evaluated(material):
            if spec.name in method.names:
                _draw(axes, method, shared_scores(method, [spec.name]), index, thin=False)
        axes.tick_params(labelbottom=place + columns >= len(specs))
        axes.set_title(f"{material.names[spec.name]} ({spec.judged})", fontsize=9, loc="left")
    _finish(figure, np.ravel(panels)[0], material)
    return figure


def _scores(material: Material) -> Picture:
    specs, methods = material.specs, list(_evaluated(material))
    assert material.step is not None
    figure, ((axes,),) = _grid(1, 1, (6.4, 0.9 + len(specs) * (0.18 + 0.16 * len(methods))))
    for place, (index, method) in enumerate(methods):
        if material.step not in method.steps:
            continue
        names = [spec.name for spec in specs if spec.name in method.names]
        found = task_scores(method, material.step, names)
        rows = np.array([[s.name for s in specs].index(name) for name in names])
        heights = rows + 0.6 * ((place + 0.5) / len(methods) - 0.5)
        values = np.array([estimate.value for estimate in found])
        spans = np.array([(e.low, e.high) if e.has_interval else (e.value, e.value) for e in found]).T
        colour = series_style(index)["color"]
        axes.hlines(heights, *spans, color=colour, linewidth=2)
        axes.plot(values, heights, "o", color=colour, markersize=5, label=method.label)
    axes.set_yticks(range(len(specs)), [material.names[spec.name] for spec in specs])
    axes.set_ylim(len(specs) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{score_word(specs)} at {text.steps(material.step)} {material.schema.unit}")
    _legend(figure, axes, material)
    return figure


def _draw(axes: "Axes", method: Method, scores: np.ndarray, index: int, thin: bool = True) -> None:
    """The mean over tasks and seeds with its band, and behind it the single seeds."""
    curve, style = aggregate_curve(scores, task_mean, rng=rng()), series_style(index)
    if thin and len(scores) > 1:
        for one in scores:
            axes.plot(method.steps, np.nanmean(one, axis=0), color=style["color"], linewidth=0.7, alpha=0.4)
    if curve.has_interval:
        axes.fill_between(method.steps, curve.low, curve.high, color=style["color"], alpha=0.16, linewidth=0)
    marker = "o" if method.steps.size == 1 else ""
    axes.plot(method.steps, curve.value, **style, marker=marker, markersize=4, label=method.label)


def _grid(rows: int, columns: int, size: tuple[float, float]) -> tuple[Picture, np.ndarray]:
    with rc_context(STYLE):
        figure = Picture(figsize=size, layout="constrained", facecolor=PAPER)
        return figure, figure.subplots(rows, columns, squeeze=False, sharex=True)


def _finish(figure: Figure, first: "Axes", material: Material) -> None:
    from matplotlib.ticker import FuncFormatter

    first.set_xlim(0, material.last_evaluation)
    first.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.steps(value)))
    figure.supxlabel(material.schema.axis, fontsize=11, color=MUTED)
    _legend(figure, first, material)


def _legend(figure: Figure, axes: "Axes", material: Material) -> None:
    if len(material.methods) > 1:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", frameon=False, ncols=2, fontsize=9)


def _evaluated(material: Material) -> list[tuple[int, Method]]:
    return [(index, method) for index, method in enumerate(material.methods) if method.steps.size]


def _shared(material: Material) -> list:
    return [spec for spec in material.specs if spec.name in material.shared]
