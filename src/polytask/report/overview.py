"""The head of the report: what was run, and what came of it."""

import math
from html import escape
from typing import Any

from polytask.evaluation import text
from polytask.evaluation.statistics import Estimate
from polytask.report.material import Material, score_word
from polytask.report.methods import Method
from polytask.runs.records import Schema


def _typed(method: Method) -> list[str]:
    """The tasks as the person typed them."""
    configs = [run.config for run in method.runs]
    typed = [
        t for config in configs for t in ([config["problem"]] if "problem" in config else config.get("tasks") or [])
    ]
    return list(dict.fromkeys(map(str, typed))) or list(method.names)


def page_title(material: Material) -> str:
    """The names of what was trained on."""
    names = list(dict.fromkeys(n for m in material.methods for n in _typed(m)))
    return text.listed(names, most=4) or "a run without tasks"


def _interval(estimate: Estimate, seeds: int, schema: Schema) -> str:
    if estimate.has_interval:
        return f"95 % interval {schema.bounds(estimate)} over {seeds} seeds"
    return "one seed, so no interval over seeds" if seeds == 1 else "no interval: some task has fewer than two seeds"


def machine(provenance: dict[str, Any]) -> str:
    """Processor, cores, memory and accelerator of the latest session."""
    sessions = provenance.get("sessions")
    latest = sessions[-1] if isinstance(sessions, list) and sessions else provenance
    facts = latest if isinstance(latest, dict) else {}
    cores, memory, devices = facts.get("cores"), facts.get("memory_bytes"), facts.get("devices")
    parts = [str(facts.get("cpu") or ""), text.plural(cores, "core") if isinstance(cores, int) else ""]
    parts += [text.size(memory) if isinstance(memory, (int, float)) else ""]
    parts += [str(d) for d in (devices if isinstance(devices, list) else []) if d != "cpu"]
    return ", ".join(p for p in parts if p) or text.MISSING


def _fact(name: str, value: str, small: str = "", words: bool = False) -> str:
    kind = ' class="words"' if words else ""
    below = f"<small>{escape(small)}</small>" if small else ""
    return f"<div><dt>{escape(name)}</dt><dd{kind}>{escape(value)}{below}</dd></div>"


def _facts(material: Material) -> str:
    method, result = material.methods[0], material.results[0]
    seconds = [r.seconds for m in material.methods for r in m.runs if math.isfinite(r.seconds)]
    first_run, schema = method.runs[0], material.schema
    facts = []
    if result and math.isfinite(result.mean.value):
        word = score_word([s for s, t in zip(method.specs, result.tasks, strict=True) if math.isfinite(t.score.value)])
        facts.append(
            _fact(f"mean {word}", schema.score(result.mean.value), _interval(result.mean, len(method.seeds), schema))
        )
        if schema.against:
            facts.append(_fact(schema.beside_name, text.number(result.tasks[0].returned), "of the predictions"))
        elif len(method.specs) > 1:
            bounds = f", {schema.bounds(result.iqm)}" if result.iqm.has_interval else ""
            facts.append(_fact(f"IQM {word}", schema.score(result.iqm.value), f"interquartile mean{bounds}"))
    goal = first_run.config.get("steps")
    reached = max((int(r.metrics.steps[-1]) for r in method.runs if r.metrics.steps.size), default=0)
    reached = max(reached, int(method.steps[-1]) if method.steps.size else 0)
    of = f"of {text.steps(goal)} planned" if isinstance(goal, (int, float)) and goal > reached else ""
    in_step = f"{len(method.specs)} tasks in step" if len(method.specs) > 1 else ""
    facts.append(_fact(schema.unit, text.steps(reached), of or in_step))
    facts.append(_fact("seeds", str(len(method.seeds)), ", ".join(method.seeds)))
    mean_time = sum(seconds) / len(seconds) if seconds else None
    facts.append(_fact("wall time" if len(seconds) < 2 else "wall time per run", text.duration(mean_time)))
    facts.append(_fact("machine", machine(first_run.provenance), words=True))
    return f'<dl class="facts">{"".join(facts)}</dl>'


def _verdict(material: Material) -> str:
    """The result in one sentence."""
    method, result, published = material.methods[0], material.results[0], material.published[0]
    if result is None:
        return "No evaluation has been recorded yet, so there is no score to report; what training logged is below."
    scored = [t for t in result.tasks if math.isfinite(t.score.value)]
    if not scored:
        return (
            f"After {text.steps(result.step)} {material.schema.unit} the tasks have returns only: none has a success "
            "rule or a score range, so there is no common scale to average on."
        )
    word = score_word([s for s, t in zip(method.specs, result.tasks, strict=True) if math.isfinite(t.score.value)])
    schema = material.schema
    whose = f" of {method.label}" if len(material.methods) > 1 else ""
    over = f" over {text.plural(len(scored), 'task')}" if len(method.specs) > 1 else ""
    said = (
        f"The mean {word}{whose}{over} is {schema.score(result.mean.value)} "
        f"after {text.steps(result.step)} {schema.unit} ({_interval(result.mean, len(method.seeds), schema)})"
    )
    point = published.index_at(result.step) if published else None
    if published and published.mean is not None and point is not None:
        at = text.steps(int(published.steps[point]))
        said += f"; {published.label}, stands at {published.mean[point]:.2f} on the same tasks at {at}"
        said += ", under another protocol"
    return f"{said}."


def header(material: Material) -> str:
    """The top of the page: title, what was run, and notes."""
    method = material.methods[0]
    config = method.runs[0].config
    kind = str((config.get("agent") or {}).get("kind", "")).upper() or str(
        config.get("combine") or config.get("loss", "")
    )
    several = f"{len(material.methods)} methods" if len(material.methods) > 1 else kind
    parts = [
        several,
        text.plural(len(material.specs), "task"),
        text.plural(sum(len(m.runs) for m in material.methods), "run"),
    ]
    notes = [f"{m.label}: {n}" if len(material.methods) > 1 else n for m in material.methods for n in m.notes]
    notes += [f"{r.name}: {n}" for m in material.methods for r in m.runs for n in r.notes]
    joined = [(m.label, m.runs[0].config.get("groups")) for m in material.methods]
    notes += [f"{label}: one model for each group of tasks: {groups}" for label, groups in joined if groups]
    listed = "".join(f"<li>{escape(n)}</li>" for n in notes)
    return (
        f'<header><p class="over">polytask report · {escape(" · ".join(p for p in parts if p))}</p>'
        f"<h1>{escape(page_title(material))}</h1>"
        f'<p class="lead">{escape(_verdict(material))}</p>{_facts(material)}'
        + (f'<ul class="note">{listed}</ul>' if notes else "")
        + "</header>"
    )
