"""What an evolution made: which problem uses which components, and who made them."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from polytask.report import html, plot
from polytask.report.data import Run
from polytask.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def components(material: Material) -> str:
    """The section of runs that record a population; nothing where there is none."""
    parts = []
    for index, method in enumerate(material.methods):
        for run in method.runs:
            population = _population(run)
            if population and population["paths"]:
                shown = f"<h3>{escape(method.label)}, seed {run.seed}</h3>{_graph(population)}"
                parts.append(html.of_method(index, shown))
    if not parts:
        return ""
    about = (
        "Each row is a problem's path through the network; a box is a component, with its number, in the colour of the "
        "problem that made it. A line joins uses of one component by two problems."
    )
    return html.section("components", "Components", f"<p>{about}</p>", *parts)


def _population(run: Run) -> Mapping[str, Any] | None:
    """That of the newest evaluation which has one."""
    found = (line.get("population") for line in reversed(run.lines))
    return next((one for one in found if isinstance(one, Mapping)), None)


def best_paths(population: Mapping[str, Any]) -> dict[str, Mapping[str, int]]:
    """By problem, the components by slot of the path with the highest score."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in population["paths"].values():
        if path["task"] not in found or path["score"] > found[path["task"]]["score"]:
            found[path["task"]] = path
    return {task: path["components"] for task, path in found.items()}


def _graph(population: Mapping[str, Any]) -> str:
    paths = best_paths(population)
    slots = list(dict.fromkeys(slot for path in paths.values() for slot in path))
    slots.sort(key=_order)
    makers = list(dict.fromkeys([*paths, *(c["made_by"] for c in population["components"].values())]))
    colours = {maker: plot.SERIES[i % len(plot.SERIES)] for i, maker in enumerate(makers)}

    def draw(axes: "Axes") -> None:
        uses: dict[int, list[tuple[int, int]]] = {}
        for row, path in enumerate(paths.values()):
            for slot, number in path.items():
                uses.setdefault(number, []).append((slots.index(slot), -row))
        for number, places in uses.items():
            colour = colours[population["components"][str(number)]["made_by"]]
            axes.plot(*zip(*places, strict=True), color=colour, linewidth=2, zorder=1)
            for place in places:
                axes.text(*place, str(number), ha="center", va="center", color=plot.INK, bbox=_box(colour), zorder=2)
        axes.set_xticks(range(len(slots)), slots)
        axes.set_yticks([-row for row in range(len(paths))], [plot_name(task) for task in paths])
        axes.set(xlim=(-0.5, len(slots) - 0.5), ylim=(-len(paths) + 0.4, 0.6))
        axes.grid(visible=False)

    title = "Components by problem"
    return plot.chart(draw, 900, 90 + 46 * len(paths), (150, 10, 10, 40), title)


def plot_name(task: str) -> str:
    """The last part of a problem's name, short enough for an axis."""
    return task.rpartition(":")[2][-22:]


def _box(colour: str) -> dict[str, Any]:
    return {"boxstyle": "round,pad=0.3", "facecolor": plot.PAPER, "edgecolor": colour, "linewidth": 1.5}


def _order(slot: str) -> tuple[int, str]:
    """Stem first, then blocks with their adapters, norm and head last."""
    rank = {"stem": 0, "norm": 98, "head": 99}
    return rank.get(slot, int(slot[-1]) if slot[-1].isdecimal() else 50), "a" if slot.startswith("block") else "b"
