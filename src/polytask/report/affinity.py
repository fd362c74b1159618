"""What the tasks do to each other: a section of the report where affinity.jsonl exists, and a figure for Python."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from polytask.affinity.record import (
    Pooled,
    Record,
    clear_pairs,
    conflict_rates,
    off_diagonal,
    over_seeds,
    parse,
    pool,
)
from polytask.evaluation import text
from polytask.report import html, maps
from polytask.report.embedding import cluster_order
from polytask.report.material import Material
from polytask.report.methods import Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What a person wants to see first, and what a matrix of it says.
SIGNED = {
    "transference": "by what share of it a step on one task lowers the loss of another, on the same batch",
    "gain": "by how much a step on one task lowers the loss of another, the other's own step being 1",
    "decrease": "by how much a step on one task lowers the loss of another, in units of that loss",
    "cosine": "cosine between the gradients",
}


def first_measure(records: Sequence[Record]) -> str:
    """The measure to show if none is named: an effect if there is one, else the cosine, else what there is."""
    known = {r.measure for r in records}
    return next((m for m in SIGNED if m in known), min(known))


def scale_of(pooled: Pooled) -> float:
    """The largest absolute mean of a pair of different tasks, at which colours are full; 1 if there is none."""
    values = np.abs(off_diagonal(pooled))
    return float(np.nanmax(values)) if np.nanmax(values, initial=0.0) > 0 else 1.0


def task_order(pooled: Pooled) -> Int[np.ndarray, " tasks"]:
    """Tasks in the leaf order of a clustering, so that tasks that help each other are neighbours."""
    if len(pooled.tasks) < 3:
        return np.arange(len(pooled.tasks))
    similarity = np.nan_to_num(off_diagonal(pooled) / scale_of(pooled), nan=0.0)
    return cluster_order(np.where(np.eye(len(similarity), dtype=bool), 1.0, similarity))


def heat_figure(pooled: Pooled, names: Sequence[str] | None = None) -> "Figure":
    """A matplotlib figure of the matrix, sources in rows, recipients in columns; blue helps, orange hurts.

    Pairs within two standard errors of 0 are marked by a dot. `names` are the tasks' names as shown, in the order of
    `pooled.tasks`; tasks are drawn in the order of a clustering. Save it with `figure.savefig("affinity.png")`.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    order = task_order(pooled)
    shown = [(names or text.short_names(pooled.tasks))[int(i)] for i in order]
    values, scale = off_diagonal(pooled)[np.ix_(order, order)], scale_of(pooled)
    side = max(3.2, min(0.42 * len(shown), 12))
    room = 0.085 * max(map(len, shown))
    figure = Figure(figsize=(side + room + 2.5, side + room + 0.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    colours = LinearSegmentedColormap.from_list("affinity", ["#c24a18", "#ffffff", "#0067a5"]).with_extremes(
        bad="#e3e8ed"
    )
    image = axes.imshow(values, cmap=colours, vmin=-scale, vmax=scale)
    size = 9 if len(shown) <= 25 else 6
    axes.set_xticks(range(len(shown)), shown, rotation=90, fontsize=size)
    axes.set_yticks(range(len(shown)), shown, fontsize=size)
    with np.errstate(invalid="ignore"):
        unsure = np.argwhere(np.abs(values) < 2 * pooled.error[np.ix_(order, order)])
    axes.plot(
        unsure[:, 1], unsure[:, 0], ".", color="#566372", markersize=150 / len(shown) ** 1.5 if len(shown) > 12 else 4
    )
    axes.set(xlabel="what it does to", ylabel="a step on")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02).set_label(f"{pooled.measure} ({pooled.part})", fontsize=9)
    return figure


def affinity(material: Material) -> str:
    """The section on what the tasks do to each other; nothing where no run has measured it."""
    parts = html.by_method([m.label for m in material.methods], [_of_method(m, material) for m in material.methods])
    return html.section("affinity", "What the tasks do to each other", parts) if parts else ""


def _read(folder: Path) -> tuple[list[Record], int | None]:
    file = folder / "affinity.jsonl"
    if not file.exists():
        return [], None
    records, until, _ = parse(file.read_text(encoding="utf-8", errors="replace").splitlines())
    return records, until


def _of_method(method: Method, material: Material) -> str:
    found = [(records, until) for run in method.runs for records, until in [_read(run.path)] if records]
    if not found:
        return ""
    body = []
    for part in sorted({r.part for records, _ in found for r in records}, key=lambda p: (p != "critic", p)):
        body.append(_of_part(found, part, material))
    return "".join(body)


def _pooled(found: Sequence[tuple[list[Record], int | None]], measure: str, part: str) -> Pooled | None:
    """Over the seeds whose tasks are the first's."""
    seeds = []
    for records, until in found:
        if any(r.measure == measure and r.part == part for r in records):
            try:
                seeds.append(pool(records, measure, part, until))
            except ValueError:  # nothing before the early stop, or other tasks on the way
                continue
    same = [p for p in seeds if p.tasks == seeds[0].tasks]
    return over_seeds(same) if same else None


def _of_part(found: Sequence[tuple[list[Record], int | None]], part: str, material: Material) -> str:
    records = [r for known, _ in found for r in known if r.part == part]
    pooled = _pooled(found, first_measure(records), part)
    if pooled is None:
        return html.missing(f"There is no map of the {part}: what was measured does not go together.")
    names = [material.names.get(n, n) for n in pooled.tasks]
    order = task_order(pooled)
    scale = scale_of(pooled)
    values, error = (m[np.ix_(order, order)] for m in (off_diagonal(pooled), pooled.error))
    with np.errstate(invalid="ignore"):
        faint = np.isfinite(values) & ~(np.abs(values) >= 2 * error)
    grid = maps.signed_map(values, faint, [names[i] for i in order], scale)
    key = f'<p class="note">{escape(pooled.measure)} −{scale:.2g}<span class="scale both"></span>{scale:.2g}</p>'
    title = "" if part == "model" else f"<h3>The {escape(part)}</h3>"
    pair = [html.figure(grid + key, _sentence(pooled, names))]
    conflict = _pooled(found, "conflict", part)
    if conflict is not None:
        pair.append(_conflicts(conflict, [material.names.get(n, n) for n in conflict.tasks]))
    return f'{title}<div class="{"pair" if len(names) <= 20 else "apart"}">{"".join(pair)}</div>'


def _sentence(pooled: Pooled, names: Sequence[str]) -> str:
    means, clear = off_diagonal(pooled), clear_pairs(pooled)
    helps = [p for p in clear if means[p] > 0]
    hurts = [p for p in clear if means[p] < 0][::-1]
    said = [
        "What a step on the task of a row does to the task of a column "
        f"({SIGNED.get(pooled.measure, pooled.measure)}), "
        f"averaged over {int(np.nanmax(pooled.count)):,} measurements up to step {pooled.steps[1]:,}."
    ]
    for word, pairs in (("helps", helps), ("hurts", hurts)):
        if pairs:
            s, r = pairs[0]
            said.append(f"{names[s]} {word} {names[r]} most ({means[s, r]:+.2g} ± {2 * pooled.error[s, r]:.1g}).")
    total = len(names) * (len(names) - 1)
    said.append(
        f"{len(helps)} of {total} pairs clearly help and {len(hurts)} clearly hurt, by two standard errors; "
        f"about {max(1, round(0.05 * total))} would seem so by chance. The others are drawn faint."
    )
    return " ".join(said)


def _conflicts(conflict: Pooled, names: Sequence[str]) -> str:
    rates = conflict_rates(conflict)
    order = [int(i) for i in np.argsort(-np.nan_to_num(rates, nan=-1.0), kind="stable")]
    rows = [
        [
            escape(names[i]),
            f"{rates[i]:.0%}" if np.isfinite(rates[i]) else text.MISSING,
            html.score_bar(float(rates[i]), np.nan, np.nan),
        ]
        for i in order
    ]
    head, shown = ["Task", "Conflicts", "Share of the others' gradients"], [names[i] for i in order]
    table = html.table(head, rows, ["", "n", "fill"], tasks=shown)
    caption = "How often the gradient of a task points against that of another (negative cosine)."
    if len(names) <= 20:
        return html.figure(table, caption)
    return html.details(f"Conflicts: {np.nanmean(rates):.0%} of the pairs of gradients", html.figure(table, caption))
