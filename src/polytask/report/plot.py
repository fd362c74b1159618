"""From a drawing function to a small inline SVG that follows the page's fonts and, on a screen, its dark colours.

Charts are drawn at the size at which they appear, so that their text stays readable on a phone; the page lays them
out in a grid. Only matplotlib's object interface is used: no pyplot, no state left behind.
"""

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The light colours of style.css, which has a dark one for each of them.
INK, MUTED, GRID, PAPER = "#17212b", "#566372", "#e3e8ed", "#ffffff"
SERIES = ("#0067a5", "#c24a18", "#00795f", "#9c3f83", "#8a6800", "#6e4a2a")

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "polytask",  # or identifiers are drawn at random
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 11,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "text.color": INK,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


def series_style(index: int) -> dict:
    """Colour and dash of the index-th method; the dash changes when the colours have been used up."""
    return {
        "color": SERIES[index % len(SERIES)],
        "linestyle": ("-", (0, (5, 1.5)), (0, (1, 1.2)))[index // len(SERIES) % 3],
    }


def chart(
    draw: Callable[["Axes"], None],
    width: int,
    height: int,
    margins: tuple[int, int, int, int],
    title: str,
) -> str:
    """An SVG of `width` x `height` CSS pixels; margins are (left, right, top, bottom) pixels around the axes.

    `title` is what a screen reader says.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    left, right, top, bottom = margins
    with rc_context(STYLE):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        draw(figure.add_axes(box))
        buffer = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return _clean(buffer.getvalue().decode(), width, height, title)


def _clean(svg: str, width: int, height: int, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<svg[^>]*>", "", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    # Inside tags only: what people read stands between them.
    svg = re.sub(r"<[^>]+>", lambda tag: _clean_tag(tag[0]), svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    svg = svg.replace("stroke-linejoin: round; ", "").replace("xlink:href", "href")
    svg = re.sub(r"\n\s*", "\n", svg)
    size = f'viewBox="0 0 {width} {height}" style="max-width:{round(1.3 * width)}px"'
    return f'<svg {size} role="img" aria-label="{escape(title)}">{svg}'


def _clean_tag(tag: str) -> str:
    """Coordinates to a tenth of a pixel; colours as attributes, for style sheets and all printers."""
    tag = re.sub(r"-?\d+\.\d{2,}", lambda m: f"{float(m[0]):.1f}", tag)
    colours = re.findall(r"(fill|stroke): (#[0-9a-f]{6});? ?", tag)
    tag = re.sub(r"(fill|stroke): #[0-9a-f]{6};? ?", "", tag)
    return tag.replace(" style=", "".join(f' {name}="{colour}"' for name, colour in colours) + " style=", 1)


def apart(positions: list[float], gap: float, least: float) -> list[float]:
    """Moves positions as little as a simple sweep can so that neighbours are `gap` apart and none is below `least`."""
    order = np.argsort(positions, kind="stable")
    moved = np.array(positions, float)[order]
    for _ in range(50):
        overlap = gap - np.diff(moved)
        if (overlap <= 1e-9).all():
            break
        push = np.maximum(overlap, 0) / 2
        moved[1:] += push
        moved[:-1] -= push
    floor = least
    for i, position in enumerate(moved):
        moved[i] = max(position, floor)
        floor = moved[i] + gap
    result = np.empty_like(moved)
    result[order] = moved
    return result.tolist()
