"""Figures of claims: those of the report's style, in its light colours, for a file."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from polytask.report import plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#17212b", "#566372", "#e3e8ed", "#ffffff"
SERIES = ("#0067a5", "#c24a18", "#00795f", "#9c3f83", "#8a6800", "#6e4a2a")

_LIGHT = {plot.INK: INK, plot.MUTED: MUTED, plot.GRID: GRID, plot.PAPER: PAPER}


def draw(fill: Callable[..., Any], width: float | int, height: float | int, columns: int = 1) -> "Figure":
    """A figure of `width` x `height` inches; `fill(axes)`, or `fill(axes, axes, ...)` for several columns, draws it.

    Only matplotlib's object interface is used: no pyplot, no window, no state left behind.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {key: _LIGHT.get(value, value) if isinstance(value, str) else value for key, value in plot.STYLE.items()}
    with rc_context(style):
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor=PAPER)
        fill(*figure.subplots(1, columns, squeeze=False)[0])
    return figure


def draw_temperatures(
    axes: "Axes",
    temperatures: Float[np.ndarray, " temperatures"],
    methods: Mapping[str, tuple[str, Float[np.ndarray, "temperatures seeds"]]],
    base: float | None = None,
) -> None:
    """Decision quality over the temperature at which it was learned: the mean as a line, seeds as dots.

    Methods stand side by side at each temperature.

    - `methods`: a colour and the qualities of each; `base`: the mean of MSE, which has no temperature.
    """
    order = np.argsort(temperatures)
    grid = temperatures[order]
    for i, (name, (colour, quality)) in enumerate(methods.items()):
        values, places = quality[order], grid * 1.15 ** (i - (len(methods) - 1) / 2)
        axes.plot(places, values.mean(axis=1), color=colour, marker="o", label=name)
        axes.plot(np.repeat(places, values.shape[1]), values.ravel(), ".", color=colour, alpha=0.4)
    if base is not None:
        axes.axhline(base, color=SERIES[0], linewidth=1, linestyle="--", label="MSE")
    axes.set(xscale="log", xlabel="temperature", ylabel="decision quality")
    axes.set_xticks(grid, [f"{temperature:g}" for temperature in grid])
    axes.set_xticks([], minor=True)
