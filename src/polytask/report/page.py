"""Puts the sections together and writes the file."""

import os
from collections.abc import Sequence
from pathlib import Path

from polytask.report import (
    affinity,
    components,
    decisions,
    embedding,
    final,
    forgetting,
    html,
    learning,
    overview,
    routes,
    routing,
    sweep,
    system,
    training,
)
from polytask.report.material import gather

_CONTENTS = (
    ("sweep", "Sweep"),
    ("comparison", "Comparison"),
    ("results", "Final results"),
    ("learning", "Learning"),
    ("tasks", "By task"),
    ("heat", "Heat map"),
    ("forgotten", "Forgetting"),
    ("decisions", "Decisions"),
    ("routes", "Routes"),
    ("training", "Training"),
    ("affinity", "Affinity"),
    ("components", "Components"),
    ("embedding", "Embeddings"),
    ("routing", "Routing"),
    ("system", "Time and memory"),
    ("config", "Config"),
)


def write_report(runs: Sequence[Path], out: Path, of: sweep.Sweep | None = None) -> Path:
    """Writes one self-contained HTML file about one or more run folders, and returns its path.

    `of` is the sweep that the runs are the best of, which comes first.

    Runs whose configs are equal but for the seed are seeds of one method; other configs are compared, the first being
    the one to beat. Runs of one task each that differ only in the task are together one method, single-task training.
    The file needs no network and no script. What a run does not hold is named in the report.
    Raises ValueError if no run is given or a folder is not a run folder, OSError if `out` cannot be written.
    """
    material = gather(runs)
    sections = [
        sweep.section(of) if of else "",
        final.comparison(material),
        final.results(material),
        learning.aggregate(material),
        learning.by_task(material),
        learning.heat(material),
        forgetting.forgotten(material),
        decisions.decisions(material),
        routes.routes(material),
        training.training(material),
        affinity.affinity(material),
        components.components(material),
        embedding.embedding(material),
        routing.routing(material),
        system.system(material),
        system.configuration(material),
    ]
    links = [f'<a href="#{i}">{t}</a>' for (i, t), s in zip(_CONTENTS, sections, strict=True) if s]
    intervals = "docs/statistics.md says how the intervals are made."
    footer = f"<footer>Made by polytask. {material.schema.final} {intervals}</footer>"
    body = overview.header(material) + f"<nav>{''.join(links)}</nav>" + "".join(sections) + footer
    # A reader, or a crash, never sees half a report.
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    temporary.write_text(html.page(f"polytask: {overview.page_title(material)}", body), encoding="utf-8")
    return temporary.replace(out)
