"""Affinity and groupings for the terminal, readable in 80 columns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from polytask.affinity.record import Pooled, clear_pairs, conflict_rates, off_diagonal
from polytask.evaluation import text
from polytask.report.affinity import SIGNED, scale_of, task_order

if TYPE_CHECKING:
    from rich.console import Console

_LISTED = 5


def render_affinity(pooled: Pooled, conflict: Pooled | None, console: "Console") -> None:
    """Prints the matrix (numbers for up to eleven tasks, signs for more), the clearest pairs and the conflict rates."""
    names = text.short_names(pooled.tasks)
    order = [int(i) for i in task_order(pooled)]
    what = SIGNED.get(pooled.measure, pooled.measure)
    console.print(f"[bold]{pooled.measure}[/] of the {pooled.part}: {what}", highlight=False)
    times = np.unique(pooled.count[~np.eye(len(names), dtype=bool)]).astype(int)
    many = f"{times[0]:,}" if times.size == 1 else f"{times[0]:,} to {times[-1]:,}"
    console.print(
        f"mean of {many} measurements in {text.plural(pooled.periods, 'period')}, steps {pooled.steps[0]:,} to "
        f"{pooled.steps[1]:,}; a row's step, a column's loss\n",
        highlight=False,
    )
    if 6 * len(names) + 14 <= console.width:
        _numbers(pooled, names, order, console)
    elif len(names) + 12 <= console.width:
        _signs(pooled, names, order, console)
    else:
        console.print(f"{len(names)} tasks do not fit into {console.width} columns; the report has the map")
    if pooled.measure in SIGNED:
        _pairs(pooled, names, console)
    if conflict is not None:
        _conflicts(conflict, console)


def _style(value: float, error: float, scale: float) -> str:
    if np.isnan(value):
        return "dim"
    strength = "bold " if abs(value) > scale / 2 else ""
    colour = "blue" if value > 0 else "red"
    return f"{strength}{colour}" if abs(value) >= 2 * error else "dim"


def _numbers(pooled: Pooled, names: Sequence[str], order: Sequence[int], console: "Console") -> None:
    from rich.text import Text

    values, scale = off_diagonal(pooled), scale_of(pooled)
    power = int(np.floor(np.log10(scale))) - 2
    label_width = console.width - 6 * len(names) - 4
    console.print(Text(" " * (label_width + 4) + "".join(f"{i + 1:>6}" for i in range(len(names)))))
    for row, s in enumerate(order):
        line = Text(f"{row + 1:>3} {names[s][:label_width]:<{label_width}}")
        for r in order:
            shown = "." if s == r else "?" if np.isnan(values[s, r]) else f"{values[s, r] / 10.0**power:+.0f}"
            line.append(f"{shown:>6}", _style(values[s, r], pooled.error[s, r], scale))
        console.print(line)
    unit = f"1e{power}" if power else "1"
    console.print(f"\nin units of {unit}; dim: within two standard errors of 0", highlight=False)


def _signs(pooled: Pooled, names: Sequence[str], order: Sequence[int], console: "Console") -> None:
    from rich.text import Text

    values, scale = off_diagonal(pooled), scale_of(pooled)
    wide = 2 if 2 * len(names) + 12 <= console.width else 1
    label_width = console.width - wide * len(names) - 4
    for head in ([f"{i + 1:>2}"[0] for i in range(len(names))], [f"{i + 1:>2}"[1] for i in range(len(names))]):
        console.print(Text(" " * (label_width + 4) + "".join(f"{h:>{wide}}" for h in head), "dim"))
    for row, s in enumerate(order):
        line = Text(f"{row + 1:>3} {names[s][:label_width]:<{label_width}}", no_wrap=True)
        for r in order:
            value, error = values[s, r], pooled.error[s, r]
            line.append(f"{' ' if s == r else _sign(value, error, scale):>{wide}}", _style(value, error, scale))
        console.print(line)
    console.print(
        f"\n# + helps, = - hurts (# and = beyond half of the largest, {scale:.2g}), · within two standard errors of 0",
        highlight=False,
    )


def _sign(value: float, error: float, scale: float) -> str:
    if np.isnan(value):
        return "?"
    if not abs(value) >= 2 * error:
        return "·"
    strong = abs(value) > scale / 2
    return ("#" if strong else "+") if value > 0 else ("=" if strong else "-")


def _pairs(pooled: Pooled, names: Sequence[str], console: "Console") -> None:
    means, clear = off_diagonal(pooled), clear_pairs(pooled)
    total = int(np.isfinite(means).sum())
    for word, pairs in (
        ("helps most", [p for p in clear if means[p] > 0]),
        ("hurts most", [p for p in clear if means[p] < 0][::-1]),
    ):
        count = f"{len(pairs)} of {total} pairs, by two standard errors"
        console.print(f"\n[bold]{word}[/] ({count})", highlight=False)
        for s, r in pairs[:_LISTED]:
            pair = f"{names[s]} → {names[r]}"
            pair = pair if len(pair) <= 52 else pair[:51] + "…"
            console.print(
                f"  {pair:<52} {means[s, r]:+9.2g} ± {2 * pooled.error[s, r]:.1g}", highlight=False, markup=False
            )
        if not pairs:
            console.print("  no pair", highlight=False)
    if np.isfinite(pooled.error).any():
        chance = f"about {max(1, round(0.05 * total))} of {total} pairs would seem clear by chance"
        console.print(f"\n± is two standard errors; {chance}", highlight=False)
    else:
        console.print("\nmeasured too seldom for standard errors, so no pair is clear", highlight=False)


def _conflicts(conflict: Pooled, console: "Console") -> None:
    from rich.markup import escape

    rates = conflict_rates(conflict)
    names = text.short_names(conflict.tasks)
    known = [i for i in np.argsort(-rates, kind="stable") if np.isfinite(rates[i])]
    if known:
        said = ", ".join(f"{escape(names[i])} {rates[i]:.0%}" for i in known[:_LISTED])
        mean = f"{np.mean(rates[known]):.0%}"
        console.print(f"\n[bold]conflicts[/] in {mean} of the pairs of gradients; most: {said}", highlight=False)


def render_groups(
    groups: Sequence[Sequence[str]],
    serves: Sequence[Sequence[str]],
    certificate: str,
    baselines: Mapping[str, float],
    score: float,
    console: "Console",
) -> None:
    """Prints groups as a tree (tasks that a group only takes as helpers in brackets), and the scores beside."""
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

    short = dict(zip(every := sorted({n for g in groups for n in g}), text.short_names(every), strict=True))
    tree = Tree(f"{text.plural(len(groups), 'group')}, score {score:.4g}", guide_style="dim")
    for index, (group, served) in enumerate(zip(groups, serves, strict=True), 1):
        helpers = [n for n in group if n not in served]
        branch = tree.add(Text(f"{index}  {text.plural(len(group), 'task')}", "bold"))
        branch.add(Text(", ".join(short[n] for n in group if n in served) or "(serves no task best)"))
        if helpers:
            branch.add(Text(f"with the help of {', '.join(short[n] for n in helpers)}", "dim"))
    console.print(tree)
    console.print(f"\n{certificate}\n", highlight=False)
    table = Table(show_edge=False, box=None, padding=(0, 2, 0, 0))
    table.add_column("grouping")
    table.add_column("score", justify="right")
    table.add_row(Text("these groups", "bold"), Text(f"{score:.4g}", "bold"))
    for name, value in baselines.items():
        table.add_row(name, f"{value:.4g}" if np.isfinite(value) else "not allowed")
    console.print(table)
