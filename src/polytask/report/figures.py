"""The charts of the report; each function gives one inline SVG."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from polytask.evaluation import text
from polytask.evaluation.statistics import Curve
from polytask.report.plot import INK, MUTED, PAPER, SERIES, apart, chart, mark, numbers, series_style


class Line(NamedTuple):
    """One line of a chart: where, how it looks, what stands at its end.

    `thin` lines are the seeds behind a mean, each with its seed. `method` is the key by which the page switches it on
    and off, `task` the task's name as shown, or "".
    """

    steps: np.ndarray
    curve: Curve
    style: dict
    label: str = ""
    thin: Sequence[tuple[str, np.ndarray]] = ()
    method: str = ""
    task: str = ""


def plain(values: np.ndarray) -> Curve:
    """A curve without a band."""
    nothing = np.full(np.shape(values), np.nan)
    return Curve(values, nothing, nothing)


def score_limits(*values: np.ndarray) -> tuple[float, float]:
    """0 to 1, wider where scores go beyond."""
    finite = np.concatenate([v[np.isfinite(v)] for v in map(np.ravel, values)] or [np.array([])])
    low, high = min(0.0, finite.min(initial=0.0)), max(1.0, finite.max(initial=1.0))
    pad = 0.03 * (high - low)
    return low - pad, high + pad


def _step_axis(axes, last: int, ticks: int) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, last)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: text.steps(v)))


def _draw_line(axes, line: Line) -> None:
    whose = {"method": line.method, "task": line.task} if line.task else {"method": line.method}
    for seed, values in line.thin:
        (drawn,) = axes.plot(line.steps, values, **(line.style | {"linewidth": 0.8, "alpha": 0.45, "linestyle": "-"}))
        mark(drawn, **whose, thin="", seed=seed, **numbers(line.steps, values))
    bounds = {}
    if line.curve.has_interval:
        bounds = {"low": line.curve.low, "high": line.curve.high}
        band = axes.fill_between(line.steps, *bounds.values(), color=line.style["color"], alpha=0.16, linewidth=0)
        mark(band, **whose)
    # A single evaluation makes no line; a dot shows it.
    marker = {"marker": "o", "markersize": 4, "clip_on": False} if np.isfinite(line.curve.value).sum() == 1 else {}
    (drawn,) = axes.plot(line.steps, line.curve.value, **line.style, **marker)
    mark(drawn, **whose, **numbers(line.steps, line.curve.value, **bounds))


def _last_point(line: Line, last: int) -> tuple[float, float] | None:
    shown = np.flatnonzero(np.isfinite(line.curve.value) & (np.asarray(line.steps) <= last))
    return (float(line.steps[shown[-1]]), float(line.curve.value[shown[-1]])) if shown.size else None


def aggregate(
    lines: Sequence[Line],
    last: int,
    unit: str,
    title: str,
    axis: str,
    wide: bool,
    limits: tuple[float, float] | None = None,
) -> str:
    """Aggregate learning curves over steps (`axis` says of what); names at the line ends where the page is wide.

    `limits` of the values are by default those of scores.
    """
    width, height = (760, 330) if wide else (360, 270)
    right = 190 if wide else 40
    show = text.number if limits else text.score
    low, high = limits or score_limits(*(line.curve.value for line in lines), *(line.curve.high for line in lines))

    def draw(axes) -> None:
        for line in lines:
            _draw_line(axes, line)
        axes.set_ylim(low, high)
        _step_axis(axes, last, 6 if wide else 4)
        axes.set_xlabel(axis)
        axes.set_ylabel(unit)
        ends = [(line, end) for line in lines if (end := _last_point(line, last))]
        gap = 15 / (height - 60) * (high - low)
        for (line, (x, y)), place in zip(ends, apart([e[1][1] for e in ends], gap, low), strict=True):
            (point,) = axes.plot([x], [y], "o", color=line.style["color"], markersize=4.5, clip_on=False)
            mark(point, method=line.method)
            label = f"{show(y)}  {line.label}" if wide else show(y)
            said = axes.annotate(
                label,
                (last, place),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color=line.style["color"],
                annotation_clip=False,
            )
            mark(said, method=line.method)

    return chart(draw, width, height, (46, right, 10, 42), title)


def task_panel(lines: Sequence[Line], last: int, limits: tuple[float, float], name: str) -> str:
    """One task's learning curves, small; its name is the heading and the final values stand at the line ends."""
    width, height = 176, 132

    def draw(axes) -> None:
        for line in lines:
            _draw_line(axes, line._replace(style=line.style | {"linewidth": 1.6}))
        axes.set_ylim(*limits)
        _step_axis(axes, last, 2)
        axes.set_yticks([0, 0.5, 1] if limits[0] > -0.2 and limits[1] < 1.3 else axes.get_yticks())
        axes.set_ylim(*limits)
        axes.text(0, 1.06, name, transform=axes.transAxes, fontsize=min(11, 290 / max(len(name), 1)), color=INK)
        own = [line for line in lines if line.label]
        ends = [(line, end) for line in own if (end := _last_point(line, last))]
        gap = 12 / (height - 44) * (limits[1] - limits[0])
        for (line, (_, y)), place in zip(ends, apart([e[1][1] for e in ends], gap, limits[0] + gap / 2), strict=True):
            said = axes.annotate(
                text.score(y),
                (last, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
                color=line.style["color"],
                annotation_clip=False,
            )
            mark(said, method=line.method)

    return chart(draw, width, height, (26, 28, 24, 20), name)


def _needs_log(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and (finite > 0).all() and finite.max() > 30 * np.median(finite))


def _name_extremes(axes, steps: np.ndarray, tasks: np.ndarray, names: Sequence[str]) -> None:
    """Names the highest and the lowest task line at its end."""
    ends = tasks[-1]
    known = np.flatnonzero(np.isfinite(ends))
    if known.size < 2:
        return
    for index, va in ((known[np.argmax(ends[known])], "bottom"), (known[np.argmin(ends[known])], "top")):
        axes.annotate(
            names[index],
            (steps[-1], ends[index]),
            xytext=(0, 2 if va == "bottom" else -2),
            textcoords="offset points",
            ha="right",
            va=va,
            fontsize=9.5,
            color=MUTED,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            annotation_clip=False,
        )


def metric_panel(
    lines: Sequence[Line],
    tasks: Float[np.ndarray, "rows tasks"] | None,
    names: Sequence[str],
    last: int,
    title: str,
    axis: str = "steps per task",
) -> str:
    """A training metric: thick lines for the whole agent, thin grey ones for its tasks, the extreme tasks named."""
    from matplotlib.ticker import FuncFormatter

    width, height = 340, 210
    everything = [line.curve.value for line in lines] + ([tasks.ravel()] if tasks is not None else [])

    def draw(axes) -> None:
        if tasks is not None and lines:
            faint = 0.5 if tasks.shape[1] <= 20 else 0.25
            drawn = axes.plot(lines[0].steps, tasks, color=MUTED, linewidth=0.8, alpha=faint)
            for one, name, values in zip(drawn, names, tasks.T, strict=True):
                mark(one, task=name, thin="", **numbers(lines[0].steps, values))
        for line in lines:
            _draw_line(axes, line._replace(style=line.style | {"linewidth": 1.8}))
        if everything and _needs_log(np.concatenate([np.ravel(v) for v in everything])):
            axes.set_yscale("log")
            axes.minorticks_off()
            # matplotlib's own labels are formulas, which a page without matplotlib cannot show.
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: text.number(float(v))))
        else:
            axes.yaxis.get_major_locator().set_params(nbins=5)
            axes.margins(y=0.12)
        _step_axis(axes, last, 4)
        axes.text(0, 1.07, title, transform=axes.transAxes, fontsize=12, color=INK, ha="left")
        axes.set_xlabel(axis, fontsize=10)
        if tasks is not None and lines:
            _name_extremes(axes, np.asarray(lines[0].steps), tasks, names)

    return chart(draw, width, height, (46, 14, 30, 38), title)


def embedding_map(
    points: Float[np.ndarray, "tasks 2"],
    shares: tuple[float, float],
    labels: Sequence[str],
    title: str,
    names: Sequence[str],
) -> str:
    """Tasks in the plane of the two main directions of their embeddings; `labels` are their names or numbers."""
    width, height = 360, 340

    def draw(axes) -> None:
        reach = 1.25 * np.abs(points).max(initial=1e-9)
        axes.axhline(0, color=MUTED, linewidth=0.5, alpha=0.5)
        axes.axvline(0, color=MUTED, linewidth=0.5, alpha=0.5)
        for (x, y), name in zip(points, names, strict=True):
            point = axes.scatter([x], [y], s=26, color=SERIES[0], linewidth=1, edgecolor=PAPER, zorder=3)
            mark(point, task=name, tip=name)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel(f"first direction ({shares[0]:.0%} of the spread)")
        axes.set_ylabel(f"second direction ({shares[1]:.0%})")
        called = dict(zip(labels, names, strict=True))
        for label, x, y, align in _label_places(points / reach, labels, width - 40, height - 40):
            said = axes.text(x * reach, y * reach, label, fontsize=10, color=INK, ha=align, va="center", zorder=4)
            mark(said, task=called[label])

    return chart(draw, width, height, (26, 10, 10, 28), title)


# Where a label may stand beside its point, in pixels, the best place first.
_AROUND = (
    *((8, 0, "left"), (-8, 0, "right"), (0, 12, "center"), (0, -12, "center")),
    *((5, 11, "left"), (5, -11, "left"), (-5, 11, "right"), (-5, -11, "right"), (0, 22, "center"), (0, -22, "center")),
)


def _label_places(points: np.ndarray, labels: Sequence[str], width: int, height: int):
    """Greedy label placement beside, above or below each point without overlaps; coordinates run from -1 to 1."""
    pixels = np.stack([points[:, 0] * width / 2, points[:, 1] * height / 2], axis=1)
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in pixels]
    placed = []
    for (x, y), label in zip(pixels, labels, strict=True):
        length = 5.8 * len(label)
        for dx, dy, align in _AROUND:
            left = x + dx - {"left": 0, "right": length, "center": length / 2}[align]
            box = (left, y + dy - 6, left + length, y + dy + 6)
            inside = box[0] > -width / 2 and box[2] < width / 2
            free = all(box[2] < b[0] or box[0] > b[2] or box[3] < b[1] or box[1] > b[3] for b in taken)
            if inside and free:
                taken.append(box)
                placed.append((label, (x + dx) / (width / 2), (y + dy) / (height / 2), align))
                break
    return placed


def steps_and_values(steps: Int[np.ndarray, " rows"], values: Float[np.ndarray, " rows"], index: int = 0) -> Line:
    """A plain line in the colour of the index-th method."""
    return Line(steps, plain(values), series_style(index), method=str(index))
