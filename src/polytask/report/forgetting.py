"""What transferred agents have forgotten of the tasks of their source."""

import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from polytask.evaluation import text
from polytask.report import html
from polytask.report.material import Material

FILE = "forgotten.json"


def _read(run: Path) -> dict[str, Any] | None:
    try:
        return json.loads((run / FILE).read_text())
    except (OSError, ValueError):
        return None


def forgotten(material: Material) -> str:
    """The section on forgetting: each old task before and after, means over the seeds; "" where no run has it."""
    found = [[content for run in m.runs if (content := _read(run.path))] for m in material.methods]
    parts = html.by_method([m.label for m in material.methods], [_table(one) if one else "" for one in found])
    if not parts:
        return ""
    note = html.paragraph(
        "Old tasks are evaluated in the same environments with the source's policy and with this run's networks beside "
        "the old tasks' own embeddings. With --keep they are trained on, and stand among the tasks above.",
        "note",
    )
    return html.section("forgotten", "What was forgotten", parts, note)


def _table(found: list[dict[str, Any]]) -> str:
    names = list(found[0]["task"])
    rows = []
    for name, short in zip(names, text.short_names(names), strict=True):
        own = [content["task"][name] for content in found if name in content["task"]]
        key = "return" if any(one["before"]["score"] is None for one in own) else "score"
        before, after = (float(np.mean([one[when][key] for one in own])) for when in ("before", "after"))
        rows.append([escape(short), key, *map(text.number, (before, after, after - before))])
    seeds = f", mean of {len(found)} seeds" if len(found) > 1 else ""
    caption = f"{found[0]['episodes']} episodes of each task{seeds}, after {found[0]['step']:,} steps on the new ones."
    head = ["old task", "figure", "before", "after", "change"]
    return html.figure(html.table(head, rows, ["", "", "n", "n", "n"]), caption)
