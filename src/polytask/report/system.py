"""Where the time went, speed, memory, restarts; the config and the versions."""

import json
import math
from html import escape

import numpy as np

from polytask.evaluation import text
from polytask.report import figures, html
from polytask.report.data import Run
from polytask.report.figures import steps_and_values
from polytask.report.material import Material
from polytask.report.methods import compared, flatten
from polytask.runs.records import Schema

_SHARES = (
    ("compile", "--s6"),
    ("simulate", "--s1"),
    ("sample", "--s3"),
    ("update", "--s2"),
    ("evaluate", "--s5"),
    ("checkpoint", "--s4"),
)


def _split(run: Run) -> str:
    parts = [(name, run.metrics.time.get(name, math.nan), colour) for name, colour in _SHARES]
    parts = [(n, s, c) for n, s, c in parts if math.isfinite(s) and s > 0]
    spent = sum(s for _, s, _ in parts)
    if not spent:
        return ""
    whole = max(run.seconds, spent) if math.isfinite(run.seconds) else spent
    shares = [(n, s / whole, c) for n, s, c in parts]
    if whole - spent > 0.005 * whole:
        shares.append(("other (start-up, logging)", (whole - spent) / whole, "--grid"))
    largest = max(shares, key=lambda share: share[1])
    caption = f"{largest[0].capitalize()} took {largest[1]:.0%} of the {text.duration(whole)} that the run lasted."
    return html.figure(html.split_bar(shares), caption)


def _restarts(run: Run) -> tuple[int, list[str]]:
    counts = run.metrics.tasks.get("restarts")
    if counts is None or not len(counts):
        return 0, []
    last = np.nan_to_num(np.array([c[np.isfinite(c)][-1] if np.isfinite(c).any() else 0 for c in counts.T]))
    return int(last.sum()), [f"{s.name} {int(n)}" for s, n in zip(run.specs, last, strict=True) if n > 0]


def _speed(run: Run) -> float:
    values = run.metrics.values.get("steps_per_second", np.array([]))
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def _replays(material: Material) -> bool:
    """Whether any run may have a replay and restarts: it says so, or has not logged anything yet."""
    return "replay_bytes" in material.schema.logged


def _data_table(runs: list[Run], schema: Schema) -> str:
    head = [
        "Run",
        "Seed",
        schema.unit[:1].upper() + schema.unit[1:],
        "Chosen at",
        "Wall time",
        "Compiling",
        "Median steps/s",
        "Peak memory",
    ]
    rows = []
    for run in runs:
        chosen = run.evaluations.chosen
        row = [escape(run.name), escape(run.seed)]
        row.append(text.steps(int(run.metrics.steps[-1])) if run.metrics.steps.size else text.MISSING)
        row += [text.MISSING if chosen is None else text.steps(chosen), text.duration(run.seconds)]
        row += [text.duration(run.metrics.time.get("compile")), text.number(_speed(run))]
        rows.append([*row, text.size(run.metrics.last("peak_memory_bytes"))])
    return html.table(head, rows, ["", *["n"] * 7])


def _run_table(runs: list[Run]) -> str:
    head = ["Run", "Seed", "Steps per task", "Wall time", "Median steps/s", "Replay", "Peak memory", "Restarts"]
    rows = []
    for run in runs:
        held = run.metrics.last("replay_transitions")
        replay = f"{text.size(run.metrics.last('replay_bytes'))} <small>{text.steps(held)} transitions</small>"
        rows.append(
            [
                escape(run.name),
                escape(run.seed),
                text.steps(int(run.metrics.steps[-1])) if run.metrics.steps.size else text.MISSING,
                text.duration(run.seconds),
                text.number(_speed(run)),
                replay if math.isfinite(held) else text.MISSING,
                text.size(run.metrics.last("peak_memory_bytes")),
                str(_restarts(run)[0]),
            ]
        )
    return html.table(head, rows, ["", *["n"] * 7])


def _curves(material: Material) -> str:
    expected = "speed and memory should stay level"
    if _replays(material):
        expected = "after warm-up speed should stay level, and replay grow in a line until full"
    panels = (
        ("steps_per_second", material.schema.rate, 1.0),
        ("replay_transitions", "Transitions in replay (millions)", 1e6),
        ("peak_memory_bytes", "Peak memory (GB)", 1e9),
    )
    charts = []
    for key, title, unit in panels:
        lines = []
        for index, method in enumerate(material.methods):
            for run in method.runs:
                values = run.metrics.values.get(key)
                if values is not None and np.isfinite(values).any():
                    lines.append(steps_and_values(run.metrics.steps, values / unit, index))
        if lines:
            charts.append(figures.metric_panel(lines, None, (), material.last_step, title, material.schema.unit))
    if not charts:
        return html.missing("Speed and memory were not logged (metrics.jsonl is missing or empty).")
    return html.figure(
        html.grid(charts),
        f"One line for each run: {expected}.",
    )


def system(material: Material) -> str:
    """The section on time, speed and memory."""
    runs = [r for m in material.methods for r in m.runs]
    splits = []
    for run in runs:
        split = _split(run)
        splits.append((f"<h3>{escape(run.name)}</h3>" if len(runs) > 1 else "") + split if split else "")
    shown = "".join(splits[:1])
    if len(splits) > 1:
        shown += html.details("The other runs", "".join(splits[1:]))
    if not any(splits):
        shown = html.missing("There is no time split: metrics.jsonl does not hold one.")
    faults = [f"{run.name}: {', '.join(_restarts(run)[1])}" for run in runs if _restarts(run)[0]]
    restarts = (
        f"Environments that failed and were started anew: {'; '.join(faults)}."
        if faults
        else "No environment had to be started anew."
    )
    if _replays(material):
        table = html.figure(_run_table(runs), restarts)
    else:
        caption = "What each run took, and the step whose parameters were chosen."
        table = html.figure(_data_table(runs, material.schema), caption)
    return html.section("system", "Time, speed and memory", shown, table, _curves(material))


def _shown(value) -> str:
    given = value if isinstance(value, str) else json.dumps(value)
    return f"<code>{escape(given)}</code>"


def _task_facts(material: Material) -> str:
    head = list(dict.fromkeys(name for spec in material.specs for name in spec.shown))
    rows = [[escape(spec.shown.get(name, text.MISSING)) for name in head] for spec in material.specs]
    if not head:
        return html.missing("config.json names no task.")
    numbers = [all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    return html.table(head, rows, ["n" if number else "" for number in numbers])


def _is_number(shown: str) -> bool:
    return shown.replace(".", "", 1).replace(",", "").isdigit()


def configuration(material: Material) -> str:
    """The section on configuration and task facts."""
    flats = [compared(m.runs[0].config) for m in material.methods]
    keys = list(dict.fromkeys(k for f in flats for k in f))
    differing = [k for k in keys if len({json.dumps(f.get(k)) for f in flats}) > 1]
    keys = differing + [k for k in keys if k not in differing]
    rows = [[f"<code>{escape(k)}</code>", *(_shown(f[k]) if k in f else text.MISSING for f in flats)] for k in keys]
    head = ["Setting", *(escape(m.label if len(flats) > 1 else "Value") for m in material.methods)]
    table = html.table(head, rows, [""] * len(head)) if rows else html.missing("config.json is missing or empty.")
    parts = [html.details("Config" + (", what differs first" if differing else ""), table)]
    parts.append(html.details("Task facts", _task_facts(material)))
    for run in (r for m in material.methods for r in m.runs):
        facts = [[f"<code>{escape(k)}</code>", _shown(v)] for k, v in flatten(run.provenance).items()]
        body = (
            html.table(["Fact", "Value"], facts, ["", ""])
            if facts
            else html.missing("provenance.json is missing or empty.")
        )
        parts.append(html.details(f"Provenance of {run.name}", body))
    return html.section("config", "Config and provenance", *parts)
