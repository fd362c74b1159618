"""Routes that a run found, as they changed while it trained; and one drawing of them as a file."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from polytask.report import html, plot
from polytask.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 4  # drawings of a task


def routes(material: Material) -> str:
    """The section of runs that record routes; nothing where there is none."""
    run = material.methods[0].runs[0]
    found = [line for line in run.lines if isinstance(line.get("routes"), Mapping)]
    if not found:
        return ""
    shown = [found[i] for i in sorted({round(i) for i in np.linspace(0, len(found) - 1, min(_MOST, len(found)))})]
    parts = []
    for task in map(str, shown[-1]["routes"]):
        charts = [_chart(line["routes"][task], f"step {line['step']:,}") for line in shown if task in line["routes"]]
        parts += [f"<h3>{escape(material.names.get(task, task))}</h3>", html.grid(charts, small=True)]
    caption = (
        f"One test instance of {run.name}, by the likeliest choices: squares are depots, grey sites are not served."
    )
    return html.section("routes", "Routes", *parts, html.paragraph(caption))


def _chart(one: Mapping[str, Any], title: str) -> str:
    def draw(axes: "Axes") -> None:
        draw_on(axes, np.array(one["sites"]), np.array(one["depots"]), one["routes"], plot.SERIES, plot.MUTED, plot.INK)
        served = sum(map(len, one["routes"]))
        axes.set_title(f"{title}: {served} of {len(one['sites'])}", fontsize=11, color=plot.MUTED)

    return plot.chart(draw, 220, 240, (4, 4, 24, 4), title)


def draw_routes(
    sites: Float[np.ndarray, "sites 2"],
    depots: Float[np.ndarray, "vehicles 2"],
    routes: Sequence[Sequence[int]],
    file: Path,
) -> None:
    """Writes a picture of one instance's sites, depots and routes; its kind is that of the file's name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    colours = [f"C{i}" for i in range(10)]
    draw_on(figure.add_subplot(), sites, depots, routes, colours, "0.6", "black")
    figure.savefig(file, dpi=150)


def draw_on(
    axes: "Axes",
    sites: Float[np.ndarray, "sites 2"],
    depots: Float[np.ndarray, "vehicles 2"],
    routes: Sequence[Sequence[int]],
    colours: Sequence[str],
    idle: str,
    ink: str,
) -> None:
    """Draws routes: sites in their vehicle's colour, those that are not served in `idle`, depots as squares."""
    axes.scatter(*sites.T, s=8, c=idle, zorder=1)
    for vehicle, route in enumerate(routes):
        path = np.concatenate([depots[vehicle][None], sites[list(map(int, route))], depots[vehicle][None]])
        colour = colours[vehicle % len(colours)]
        axes.plot(*path.T, color=colour, lw=1.2, zorder=2)
        axes.scatter(*path[1:-1].T, s=12, color=colour, zorder=3)
    axes.scatter(*np.unique(depots, axis=0).T, s=45, marker="s", c=ink, zorder=4)
    axes.set_aspect("equal")
    axes.set_axis_off()
