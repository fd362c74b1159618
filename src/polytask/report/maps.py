"""Tables of shaded cells: tasks by time, tasks by tasks, tasks by the parts of a network."""

import itertools
import math
from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Bool, Float

from polytask.evaluation import text
from polytask.report import html

_MOST_COLUMNS = 60


def heat_map(
    values: Float[np.ndarray, "tasks columns"],
    names: Sequence[str],
    steps: Sequence[int],
) -> str:
    """Values from 0 to 1 as a table of shaded cells with the last value written out; NaN is hatched.

    Many columns are thinned out evenly, keeping the last.
    """
    columns = [text.steps(step) for step in steps]
    keep = np.unique(np.linspace(values.shape[1] - 1, 0, min(values.shape[1], _MOST_COLUMNS)).round().astype(int))
    rows = []
    for name, row in zip(names, values, strict=True):
        cells = "".join(_heat_cell(float(row[c]), f"{name}, {columns[c]} steps") for c in keep)
        end = "–" if math.isnan(row[-1]) else f"{row[-1]:.2f}"
        rows.append(
            f'<tr{html.of_task(name)}><th scope="row" title="{escape(name)}">{escape(name)}</th>{cells}'
            f'<td class="end">{end}</td></tr>'
        )
    left, right = len(keep) // 2, len(keep) - len(keep) // 2
    axis = f'<td colspan="{left}">{columns[keep[0]]}</td>' if left else ""
    axis += f'<td colspan="{right}" style="text-align:right">{columns[keep[-1]]} steps</td>'
    foot = f"<tfoot><tr><th></th>{axis}<td></td></tr></tfoot>"
    kind, at = " dense" if len(names) > 20 else "", ",".join(str(steps[c]) for c in keep)
    style = f'style="--label:{_longest(names)}ch" data-steps="{at}"'
    return f'<table class="heat{kind}" {style}><tbody>{"".join(rows)}</tbody>{foot}</table>'


def _longest(names: Sequence[str]) -> int:
    return min(max(map(len, names), default=0), 34) + 1


def _heat_cell(value: float, about: str) -> str:
    if math.isnan(value):
        return f'<td class="na" title="{escape(about)}: not measured"></td>'
    strength = 0.04 + 0.96 * min(max(value, 0.0), 1.0)
    return f'<td style="--a:{strength:.2f}" title="{escape(about)}: {value:.2f}"></td>'


def cosine_map(cosines: Float[np.ndarray, "tasks tasks"], names: Sequence[str], numbered: bool) -> str:
    """A square table of shaded cells: blue for alike, orange for opposed."""
    rows = []
    for i, name in enumerate(names):
        cells = "".join(_cosine_cell(float(c), f"{name}, {other}") for c, other in zip(cosines[i], names, strict=True))
        label = f"{i + 1} {name}" if numbered else name
        rows.append(f'<tr{html.of_task(name)}><th scope="row" title="{escape(name)}">{escape(label)}</th>{cells}</tr>')
    longest = _longest(names) + (3 if numbered else 0)
    height = max(1.2, min(2.3, 24 / len(names)))
    style = f"--label:{longest}ch;--row:{height:.2f}em"
    return f'<table class="heat square pairs" style="{style}"><tbody>{"".join(rows)}</tbody></table>'


def _cosine_cell(value: float, about: str) -> str:
    kind = ' class="cold"' if value < 0 else ""
    return f'<td{kind} style="--a:{min(abs(value), 1):.2f}" title="{escape(about)}: {value:.2f}"></td>'


def route_map(layers: Sequence[Float[np.ndarray, "tasks _ _"]], names: Sequence[str], scale: float, unit: str) -> str:
    """Each task's weights, layer by layer, mixture by mixture, as shaded cells: full at `scale`, orange below zero.

    `unit` is what is mixed, such as "module".
    """
    heads = []
    rows = [f'<tr{html.of_task(name)}><th scope="row" title="{escape(name)}">{escape(name)}</th>' for name in names]
    for number, layer in enumerate(layers, 1):
        _, mixtures, count = layer.shape
        heads.append(f'<td class="first" colspan="{mixtures * count}">{number}</td>')
        for to, part in itertools.product(range(mixtures), range(count)):
            first = "first " if part == 0 else ""
            into = f", into {to + 1}" if mixtures > 1 else ""
            for task, name in enumerate(names):
                value = float(layer[task, to, part])
                kind = f"{first}cold" if value < 0 else first.strip()
                about = escape(f"{name}, layer {number}{into}: {unit} {part + 1}: {value:.2f}")
                strength = min(abs(value) / scale, 1)
                rows[task] += f'<td class="{kind}" style="--a:{strength:.2f}" title="{about}"></td>'
    head = f"<thead><tr><th>layer</th>{''.join(heads)}</tr></thead>"
    style = f"--label:{_longest(names)}ch;--row:{max(1.2, min(2.3, 24 / len(names))):.2f}em"
    body = "".join(f"{row}</tr>" for row in rows)
    return f'<table class="heat square" style="{style}">{head}<tbody>{body}</tbody></table>'


def signed_map(
    values: Float[np.ndarray, "tasks tasks"],
    faint: Bool[np.ndarray, "tasks tasks"],
    names: Sequence[str],
    scale: float,
) -> str:
    """A square table, from row to column: blue above zero, orange below, full at `scale`; NaN is hatched.

    `faint` values are shaded at a quarter of their strength. Rows and columns are numbered.
    """
    numbers = "".join(f"<td>{i + 1}</td>" for i in range(len(names))) if len(names) <= 20 else ""
    rows = []
    for i, name in enumerate(names):
        cells = "".join(
            _signed_cell(float(values[i, j]), bool(faint[i, j]), scale, f"{name} → {other}")
            for j, other in enumerate(names)
        )
        heading = f'<th scope="row" title="{escape(name)}">{i + 1} {escape(name)}</th>'
        rows.append(f"<tr{html.of_task(name)}>{heading}{cells}</tr>")
    height = max(1.2, min(2.3, 24 / len(names)))
    head = f"<thead><tr><th></th>{numbers}</tr></thead>" if numbers else ""
    style = f"--label:{_longest(names) + 3}ch;--row:{height:.2f}em"
    return f'<table class="heat square pairs" style="{style}">{head}<tbody>{"".join(rows)}</tbody></table>'


def _signed_cell(value: float, faint: bool, scale: float, about: str) -> str:
    if math.isnan(value):
        return f'<td class="na" title="{escape(about)}"></td>'
    strength = min(abs(value) / scale, 1) * (0.25 if faint else 1)
    kind = ' class="cold"' if value < 0 else ""
    unsure = " (within two standard errors of 0)" if faint else ""
    return f'<td{kind} style="--a:{strength:.2f}" title="{escape(about)}: {value:+.3g}{unsure}"></td>'
