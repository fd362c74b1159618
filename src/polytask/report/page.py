"""Puts the sections together and writes the file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polytask.report import (
    affinity,
    components,
    decisions,
    embedding,
    films,
    final,
    forgetting,
    html,
    learning,
    overview,
    predictions,
    routes,
    routing,
    sweep,
    system,
    training,
)
from polytask.report.material import Material, gather

_CONTENTS = (
    ("sweep", "Sweep"),
    ("comparison", "Comparison"),
    ("results", "Final results"),
    ("learning", "Learning"),
    ("tasks", "By task"),
    ("films", "Films"),
    ("heat", "Heat map"),
    ("forgotten", "Forgetting"),
    ("decisions", "Decisions"),
    ("routes", "Routes"),
    ("predictions", "Predictions"),
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
    The file needs no network, and can be read without its script. What a run does not hold is named in the report.
    Raises ValueError if no run is given or a folder is not a run folder, OSError if `out` cannot be written.
    """
    page = render(runs, of)
    # A reader, or a crash, never sees half a report.
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    temporary.write_text(page, encoding="utf-8")
    return temporary.replace(out)


def render(runs: Sequence[Path], of: sweep.Sweep | None = None, live: str = "") -> str:
    """The page of `write_report`; with `live`, the version of what it shows, one that asks its server for the next."""
    material = gather(runs)
    sections = [
        sweep.section(of) if of else "",
        final.comparison(material),
        final.results(material),
        learning.aggregate(material),
        learning.by_task(material),
        films.films(material),
        learning.heat(material),
        forgetting.forgotten(material),
        decisions.decisions(material),
        routes.routes(material),
        predictions.predictions(material),
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
    facts = _facts(material) | ({"live": live} if live else {})
    return html.page(f"polytask: {overview.page_title(material)}", body, facts)


def _facts(material: Material) -> dict[str, Any]:
    """What report.js has to know of the whole: the curves that can be switched on and off, and how numbers read."""
    methods = [
        {"key": str(i), "label": m.label, "colour": f"--s{i % 6 + 1}", "seeds": m.seeds}
        for i, m in enumerate(material.methods)
    ]
    reached = [p for p in (*material.references(), *material.published) if p and p.steps[0] <= material.last_evaluation]
    keys = {material.published_key(p.label): p.label for p in reached}
    published = [{"key": key, "label": label, "colour": "--muted", "seeds": []} for key, label in keys.items()]
    return {"series": methods + published, "digits": material.schema.digits}
