"""Figures of claims: those of the report's style, in its light colours, for a file."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from polytask.report import plot

if TYPE_CHECKING:
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
