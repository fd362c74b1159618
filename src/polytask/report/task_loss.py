"""Figures of losses that know the task: the learned metric, error against decisions, and the inner residual.

Each function draws on the axes it is given, so that the same figure serves a page of the report and a file; `colours`
are the series' in turn, the page's by default.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from polytask.report import plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_MARKERS = "osD^vPX*<>"
_DARK, _LIGHT = "#101418", "#fdfdfd"  # on a heat map, whose colours are the same on a dark page


def draw_metric(
    axes: "Axes",
    weights: Float[np.ndarray, "rows outputs"],
    rows: Sequence[str],
    outputs: Sequence[str],
    divide: int | None = None,
) -> None:
    """A heat map of a metric's weights, logarithmic: 1 is white, outputs that count more are blue, less orange.

    Where there is room, they are written out.

    - `rows`: tasks, seeds or problems.
    - `divide`: a line is drawn before this output, to set real outputs apart from others.
    """
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("metric", ["#c24a18", "#ffffff", "#0067a5"])
    logs = np.log2(np.maximum(np.asarray(weights, float), 1e-6))
    most = max(1.0, float(np.ceil(np.abs(logs).max())))
    image = axes.imshow(logs, cmap=colours, vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(rows)), rows)
    every = max(1, len(outputs) // 40)
    places = [i for i in range(len(outputs)) if outputs[i] and i % every == 0]
    flat = max(map(len, outputs)) <= 2 or sum(map(len, outputs)) <= 24
    axes.set_xticks(places, [outputs[i] for i in places], rotation=0 if flat else 90)
    axes.grid(visible=False)
    if divide is not None:
        axes.axvline(divide - 0.5, color=_DARK, linewidth=1)
    ticks = np.unique(np.array([-most, -most / 2, 0, most / 2, most]))
    bar = axes.figure.colorbar(image, ax=axes, ticks=ticks, fraction=0.04, pad=0.02)
    bar.set_ticklabels([f"{2.0**t:.2g}" for t in ticks])
    bar.set_label("weight")
    # In points, and after the colour bar has taken its room from the cells.
    cell = axes.get_window_extent().width * 72 / axes.figure.dpi / logs.shape[1]
    if cell >= 27 and logs.size <= 40:
        for (row, output), log in np.ndenumerate(logs):
            colour = _LIGHT if abs(log) > 0.6 * most else _DARK
            axes.text(output, row, f"{2.0**log:.2g}", ha="center", va="center", fontsize=9.5, color=colour)


def draw_quality(
    axes: "Axes",
    methods: Mapping[str, tuple[Float[np.ndarray, " seeds"], Float[np.ndarray, " seeds"]]],
    colours: Sequence[str] = plot.SERIES,
    paths: Mapping[str, tuple[Float[np.ndarray, " evaluations"], Float[np.ndarray, " evaluations"]]] | None = None,
) -> None:
    """Decision quality over squared error: a small point for each seed, a large one for the mean of each method.

    - `paths`: for some of the methods, the way there: error and quality over training, drawn as a thin line.
    """
    paths = paths or {}
    for i, (name, (error, quality)) in enumerate(methods.items()):
        style: dict[str, Any] = {"color": colours[i % len(colours)], "marker": _MARKERS[i % len(_MARKERS)]}
        if name in paths:
            (way,) = axes.plot(*paths[name], color=style["color"], linewidth=1, alpha=0.6)
            plot.mark(way, name=name)
        for at in zip(error, quality, strict=True):
            point = axes.scatter(*at, s=12, alpha=0.5, linewidths=0, **style)
            plot.mark(point, name=name, tip=_said(f"{name}, a seed", *map(float, at)))
        mean = float(np.mean(error)), float(np.mean(quality))
        point = axes.scatter(*mean, s=60, label=name, zorder=3, **style)
        plot.mark(point, name=name, tip=_said(f"{name}, the mean", *mean))
    errors = np.concatenate([np.asarray(error) for error, _ in (*methods.values(), *paths.values())])
    if errors.min() > 0 and errors.max() > 20 * errors.min():
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    axes.set(xlabel="mean squared error of the predictions", ylabel="decision quality")
    axes.legend(frameon=False, fontsize=9)


def _said(name: str, error: float, quality: float) -> str:
    return f"{name}: quality {quality:.3g}, squared error {error:.3g}"


def draw_residual(
    axes: "Axes",
    curves: Mapping[str, Float[np.ndarray, "seeds steps"]],
    colours: Sequence[str] = plot.SERIES,
    steps: Mapping[str, Int[np.ndarray, " steps"]] | None = None,
) -> None:
    """The norm of the inner problem's gradient where each outer step was taken: the median seed, and their range.

    Long curves are medians over a hundred stretches. Zero would be a predictor that has converged; the error of the
    implicit gradient grows in proportion to it.

    - `steps`: where the values of each curve stand; by default they are those of every outer step.
    """
    for i, (name, residual) in enumerate(curves.items()):
        values = np.maximum(np.atleast_2d(np.asarray(residual, float)), 1e-12)
        every, colour = max(1, values.shape[1] // 100), colours[i % len(colours)]
        kept = values.shape[1] // every * every
        values = np.median(values[:, :kept].reshape(len(values), -1, every), axis=-1)
        places = every * np.arange(1, values.shape[1] + 1)
        if steps is not None:
            places = np.asarray(steps[name])[every - 1 :: every]
        median = np.median(values, axis=0)
        (drawn,) = axes.plot(places, median, color=colour, label=name)
        plot.mark(drawn, name=name, **plot.numbers(places, median))
        band = axes.fill_between(places, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        plot.mark(band, name=name)
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set(xlabel="outer step" if steps is None else "step", ylabel="inner residual")
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=9)


def plain_log(axis: "Axis") -> None:
    """Ticks at 1, 2 and 5 times powers of ten, as plain numbers: the style draws no formulas."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
