"""The pieces of HTML that the sections are made of. Everything that comes from a run passes through `escape`."""

import itertools
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

_MOST_COLUMNS = 60
# The browser itself holds the report to it: nothing is loaded from anywhere, and no script runs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def section(identity: str, title: str, *body: str) -> str:
    """A section of the page; `body` is HTML."""
    return f'<section id="{identity}"><h2>{escape(title)}</h2>{"".join(body)}</section>'


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is its CSS class."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def missing(text: str) -> str:
    """Says what is not there, and why, in place of an empty chart."""
    return paragraph(text, "missing")


def figure(content: str, caption: str, key: str = "") -> str:
    """`key` explains marks that a narrow page does not show."""
    more = f' <span class="wide">{escape(key)}</span>' if key else ""
    return f"<figure>{content}<figcaption>{escape(caption)}{more}</figcaption></figure>"


def grid(charts: Sequence[str], small: bool = False) -> str:
    """Charts side by side."""
    return f'<div class="grid{" small" if small else ""}">{"".join(f"<div>{c}</div>" for c in charts)}</div>'


def legend(entries: Sequence[tuple[str, str, str]]) -> str:
    """Entries are (CSS colour variable, text, "solid", "dashed" or "dotted")."""
    items = "".join(
        f'<li><i style="border-color:var({colour});border-top-style:{line}"></i>{escape(text)}</li>'
        for colour, text, line in entries
    )
    return f'<ul class="legend">{items}</ul>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str], total: bool = False) -> str:
    """A table of already escaped cells; the first of each row is its heading. `total` sets the last row apart.

    `kinds` says what the columns hold: "n" for numbers, "fill" for bars that take the room that is left, "" for text.
    """

    def cells(row: Sequence[str], tag: str) -> str:
        first = f'<th scope="{"col" if tag == "th" else "row"}">{row[0]}</th>'
        rest = zip(row[1:], kinds[1:], strict=True)
        return first + "".join(f'<{tag} class="{kind}">{cell}</{tag}>' for cell, kind in rest)

    marks = [' class="total"' if total and i == len(rows) - 1 else "" for i in range(len(rows))]
    body = "".join(f"<tr{mark}>{cells(row, 'td')}</tr>" for row, mark in zip(rows, marks, strict=True))
    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def score_bar(
    value: float, low: float, high: float, published: float | None = None, colour: str = "--s1", slim: bool = False
) -> str:
    """A small bar from 0 to 1 with its interval as a line and the published value as a tick."""

    def place(x: float) -> float:
        return 100 * min(max(x, 0.0), 1.0)

    if not math.isfinite(value):
        return ""
    parts = [f'<b style="width:{place(value):.1f}%;background:var({colour})"></b>']
    if math.isfinite(low) and math.isfinite(high):
        parts.append(f'<u style="left:{place(low):.1f}%;width:{place(high) - place(low):.1f}%"></u>')
    if published is not None:
        parts.append(f'<s style="left:calc({place(published):.1f}% - 1px)"></s>')
    return f'<span class="bar{" slim" if slim else ""}">{"".join(parts)}</span>'


def heat_map(
    values: Float[np.ndarray, "tasks columns"],
    names: Sequence[str],
    columns: Sequence[str],
) -> str:
    """Values from 0 to 1 as a table of shaded cells with the last value written out; NaN is hatched.

    Many columns are thinned out evenly, keeping the last.
    """
    keep = np.unique(np.linspace(values.shape[1] - 1, 0, min(values.shape[1], _MOST_COLUMNS)).round().astype(int))
    rows = []
    for name, row in zip(names, values, strict=True):
        cells = "".join(_heat_cell(float(row[c]), f"{name}, {columns[c]} steps") for c in keep)
        end = "–" if math.isnan(row[-1]) else f"{row[-1]:.2f}"
        rows.append(
            f'<tr><th scope="row" title="{escape(name)}">{escape(name)}</th>{cells}<td class="end">{end}</td></tr>'
        )
    left, right = len(keep) // 2, len(keep) - len(keep) // 2
    axis = f'<td colspan="{left}">{columns[keep[0]]}</td>' if left else ""
    axis += f'<td colspan="{right}" style="text-align:right">{columns[keep[-1]]} steps</td>'
    foot = f"<tfoot><tr><th></th>{axis}<td></td></tr></tfoot>"
    return _shaded("dense" if len(names) > 20 else "", f"--label:{_longest(names)}ch", rows, foot)


def _shaded(kind: str, style: str, rows: Sequence[str], foot: str = "") -> str:
    return f'<table class="heat {kind}" style="{style}"><tbody>{"".join(rows)}</tbody>{foot}</table>'


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
        rows.append(f'<tr><th scope="row" title="{escape(name)}">{escape(label)}</th>{cells}</tr>')
    longest = _longest(names) + (3 if numbered else 0)
    height = max(1.2, min(2.3, 24 / len(names)))
    return _shaded("square", f"--label:{longest}ch;--row:{height:.2f}em", rows)


def _cosine_cell(value: float, about: str) -> str:
    kind = ' class="cold"' if value < 0 else ""
    return f'<td{kind} style="--a:{min(abs(value), 1):.2f}" title="{escape(about)}: {value:.2f}"></td>'


def route_map(layers: Sequence[Float[np.ndarray, "tasks _ _"]], names: Sequence[str], scale: float, unit: str) -> str:
    """Each task's weights, layer by layer, mixture by mixture, as shaded cells: full at `scale`, orange below zero.

    `unit` is what is mixed, such as "module".
    """
    heads, rows = [], [f'<tr><th scope="row" title="{escape(name)}">{escape(name)}</th>' for name in names]
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
        rows.append(f'<tr><th scope="row" title="{escape(name)}">{i + 1} {escape(name)}</th>{cells}</tr>')
    height = max(1.2, min(2.3, 24 / len(names)))
    head = f"<thead><tr><th></th>{numbers}</tr></thead>" if numbers else ""
    style = f"--label:{_longest(names) + 3}ch;--row:{height:.2f}em"
    return f'<table class="heat square" style="{style}">{head}<tbody>{"".join(rows)}</tbody></table>'


def _signed_cell(value: float, faint: bool, scale: float, about: str) -> str:
    if math.isnan(value):
        return f'<td class="na" title="{escape(about)}"></td>'
    strength = min(abs(value) / scale, 1) * (0.25 if faint else 1)
    kind = ' class="cold"' if value < 0 else ""
    unsure = " (within two standard errors of 0)" if faint else ""
    return f'<td{kind} style="--a:{strength:.2f}" title="{escape(about)}: {value:+.3g}{unsure}"></td>'


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "under 1%"


def split_bar(shares: Sequence[tuple[str, float, str]]) -> str:
    """A bar of named shares that add up to 1; entries are (name, share, CSS colour variable)."""
    spans = "".join(
        f'<span style="flex:{share:.4f};background:var({colour})" title="{escape(name)}: {share:.0%}"></span>'
        for name, share, colour in shares
        if share > 0
    )
    return f'<div class="split">{spans}</div>' + legend([(c, f"{n} {_share(s)}", "solid") for n, s, c in shares])


def details(summary: str, body: str, shown: bool = False) -> str:
    """Text that opens on a click; `body` is HTML."""
    return f"<details{' open' if shown else ''}><summary>{escape(summary)}</summary>{body}</details>"


def _with_own_identifiers(body: str) -> str:
    """Charts name their clip paths and markers alike; each chart gets names of its own."""
    counter = itertools.count(1)

    def rename(chart: re.Match[str]) -> str:
        return re.sub(r'( id="| href="#|url\(#)', rf"\g<1>c{next(counter)}-", chart[0])

    return re.sub(r"<svg .*?</svg>", rename, body, flags=re.S)


def page(title: str, body: str) -> str:
    """The whole document: no script, no request to anywhere."""
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An empty icon, or browsers ask the server for one.
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style></head>'
        f"<body><main>{_with_own_identifiers(body)}</main></body></html>\n"
    )
