"""The pieces of HTML that the sections are made of. Everything that comes from a run passes through `escape`."""

import base64
import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

# The browser itself holds the report to it: nothing is loaded from anywhere, and no script runs but report.js.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{script}'"


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


def of_task(name: str) -> str:
    """The attribute of what is about one task; `name` is as shown."""
    return f' data-task="{escape(name)}"'


def of_method(key: int | str, body: str, tag: str = "div") -> str:
    """What is about one of the methods or a published curve, which the page can switch off; `body` is HTML."""
    return f'<{tag} data-method="{key}">{body}</{tag}>' if body else ""


def by_method(labels: Sequence[str], bodies: Sequence[str]) -> str:
    """What each method has, where it has something, under its label if there are several; `bodies` are HTML."""
    if len(labels) == 1:
        return bodies[0]
    pairs = enumerate(zip(labels, bodies, strict=True))
    return "".join(of_method(i, f"<h3>{escape(label)}</h3>{body}") for i, (label, body) in pairs if body)


def grid(charts: Sequence[str], small: bool = False, tasks: Sequence[str] = ()) -> str:
    """Charts side by side, of one of the `tasks` each if they are given."""
    marks = map(of_task, tasks) if tasks else itertools.repeat("")
    cells = "".join(f"<div{mark}>{c}</div>" for c, mark in zip(charts, marks, strict=False))
    return f'<div class="grid{" small" if small else ""}">{cells}</div>'


def legend(entries: Sequence[tuple[str, str, str, str]]) -> str:
    """Entries are (CSS colour variable, text, "solid", "dashed" or "dotted", key of a method or "")."""
    marks = [
        f'<i style="border-color:var({c});border-top-style:{line}"></i>{escape(text)}' for c, text, line, _ in entries
    ]
    keys = [key for *_, key in entries]
    items = "".join(of_method(k, m, "li") if k else f"<li>{m}</li>" for k, m in zip(keys, marks, strict=True))
    return f'<ul class="legend">{items}</ul>'


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    kinds: Sequence[str],
    total: bool = False,
    tasks: Sequence[str] = (),
    methods: Sequence[int] = (),
) -> str:
    """A table of already escaped cells; the first of each row is its heading. `total` sets the last row apart.

    `kinds` says what the columns hold: "n" for numbers, "fill" for bars that take the room that is left, "" for text.
    The first rows are about `tasks`, as shown, or about these `methods`.
    """

    def cells(row: Sequence[str], tag: str) -> str:
        first = f'<th scope="{"col" if tag == "th" else "row"}">{row[0]}</th>'
        rest = zip(row[1:], kinds[1:], strict=True)
        return first + "".join(f'<{tag} class="{kind}">{cell}</{tag}>' for cell, kind in rest)

    marks = [' class="total"' if total and i == len(rows) - 1 else "" for i in range(len(rows))]
    marks = [of_task(tasks[i]) if i < len(tasks) else mark for i, mark in enumerate(marks)]
    marks = [f' data-method="{methods[i]}"' if i < len(methods) else mark for i, mark in enumerate(marks)]
    body = "".join(f"<tr{mark}>{cells(row, 'td')}</tr>" for row, mark in zip(rows, marks, strict=True))
    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def score(value: str, method: int) -> str:
    """A score at the last step, for which the page can put an earlier one."""
    return f'<span class="score" data-method="{method}">{value}</span>'


def score_bar(
    value: float,
    low: float,
    high: float,
    published: float | None = None,
    colour: str = "--s1",
    slim: bool = False,
    method: int | None = None,
) -> str:
    """A small bar from 0 to 1 with its interval as a line and the published value as a tick.

    `method` is the one whose score it is, for which the page can put an earlier one.
    """

    def place(x: float) -> float:
        return 100 * min(max(x, 0.0), 1.0)

    if not math.isfinite(value):
        return ""
    said = f"{value:.2f}"
    parts = [f'<b style="width:{place(value):.1f}%;background:var({colour})"></b>']
    if math.isfinite(low) and math.isfinite(high):
        said += f", {low:.2f} to {high:.2f}"
        parts.append(f'<u style="left:{place(low):.1f}%;width:{place(high) - place(low):.1f}%"></u>')
    if published is not None:
        said += f"; published {published:.2f}"
        parts.append(f'<s style="left:calc({place(published):.1f}% - 1px)"></s>')
    whose = "" if method is None else f' data-method="{method}"'
    return f'<span class="bar{" slim" if slim else ""}"{whose} title="{said}">{"".join(parts)}</span>'


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "under 1%"


def split_bar(shares: Sequence[tuple[str, float, str]]) -> str:
    """A bar of named shares that add up to 1; entries are (name, share, CSS colour variable)."""
    spans = "".join(
        f'<span style="flex:{share:.4f};background:var({colour})" title="{escape(name)}: {share:.0%}"></span>'
        for name, share, colour in shares
        if share > 0
    )
    return f'<div class="split">{spans}</div>' + legend([(c, f"{n} {_share(s)}", "solid", "") for n, s, c in shares])


def details(summary: str, body: str, shown: bool = False) -> str:
    """Text that opens on a click; `body` is HTML."""
    return f"<details{' open' if shown else ''}><summary>{escape(summary)}</summary>{body}</details>"


def _with_own_identifiers(body: str) -> str:
    """Charts name their clip paths and markers alike; each chart gets names of its own."""
    counter = itertools.count(1)

    def rename(chart: re.Match[str]) -> str:
        return re.sub(r'( id="| href="#|url\(#)', rf"\g<1>c{next(counter)}-", chart[0])

    return re.sub(r"<svg .*?</svg>", rename, body, flags=re.S)


def page(title: str, body: str, facts: Mapping[str, Any]) -> str:
    """The whole document: one script, which `facts` are for, and no request to anywhere.

    Facts that hold "live" are of a page that asks the server it came from for newer ones.
    """
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("style.css", "report.js"))
    policy = _POLICY.format(script=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode())
    policy += "; connect-src 'self'" * ("live" in facts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An empty icon, or browsers ask the server for one.
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style></head>'
        f'<body><main data-facts="{escape(json.dumps(facts))}">{_with_own_identifiers(body)}</main>'
        f"<script>{script}</script></body></html>\n"
    )
