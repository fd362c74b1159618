"""From a drawing function to a small inline SVG that follows the page's fonts and, on a screen, its dark colours.

Charts are drawn at the size at which they appear, so that their text stays readable on a phone; the page lays them
out in a grid. Only matplotlib's object interface is used: no pyplot, no state left behind.
"""

import io
import re
from collections.abc import Callable
from html import escape, unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# The light colours of style.css, which has a dark one for each of them.
INK, MUTED, GRID, PAPER = "#17212b", "#566372", "#e3e8ed", "#ffffff"
SERIES = ("#0067a5", "#c24a18", "#00795f", "#9c3f83", "#8a6800", "#6e4a2a")

_MOST_VALUES = 200  # of a line

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


def mark(artist: "Artist", **facts: str) -> None:
    """Says on the page what this is: its group in the SVG gets the attributes data-..., which report.js reads."""
    artist.set_gid("mark?" + urlencode(facts))


def numbers(steps: np.ndarray, values: np.ndarray, **more: np.ndarray) -> dict[str, str]:
    """What the mark of a line says of its numbers: thinned out evenly, with the last; even steps as first:gap:count."""
    every = -(-len(steps) // _MOST_VALUES)
    kept = slice((len(steps) - 1) % every, None, every) if every else slice(0)
    steps = np.asarray(steps)[kept]
    apart = np.unique(np.diff(steps))
    even = f"{steps[0]}:{apart[0]}:{len(steps)}" if len(apart) == 1 else ",".join(map(str, steps))
    given = {name: np.asarray(column)[kept] for name, column in {"values": values, **more}.items()}
    shown = {k: ",".join(f"{v:.4g}" if np.isfinite(v) else "" for v in column) for k, column in given.items()}
    return {"steps": even, **shown}


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
        axes = figure.add_axes(box)
        draw(axes)
        buffer = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    svg = _clean(buffer.getvalue().decode())
    size = f'viewBox="0 0 {width} {height}" style="max-width:{round(1.3 * width)}px"'
    facts = ""
    if " data-values=" in svg:
        (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
        facts = f' data-x="{x0:.6g},{x1:.6g}" data-y="{y0:.6g},{y1:.6g}"'
        facts += f' data-box="{left},{width - right},{height - bottom},{top}"'
        facts += " data-log" if axes.get_yscale() == "log" else ""
    return f'<svg {size}{facts} role="img" aria-label="{escape(title)}">{svg}'


def _clean(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<svg[^>]*>", "", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="mark\?([^"]*)"', lambda found: f"<g{_attributes(found[1])}", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    # Inside tags only: what people read stands between them.
    svg = re.sub(r"<[^>]+>", lambda tag: _clean_tag(tag[0]), svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    svg = svg.replace("stroke-linejoin: round; ", "").replace("xlink:href", "href")
    return re.sub(r"\n\s*", "\n", svg)


def _attributes(marked: str) -> str:
    facts = parse_qsl(unescape(marked), keep_blank_values=True)
    return "".join(f' data-{name}="{escape(value)}"' for name, value in facts)


def _clean_tag(tag: str) -> str:
    """Coordinates to a tenth of a pixel; colours as attributes, for style sheets and all printers."""
    if tag.startswith("<g data-"):
        return tag
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
