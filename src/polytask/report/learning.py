"""Learning curves over all tasks and by task, and the heat map of scores over time."""

from collections.abc import Sequence

import numpy as np

from polytask.evaluation import text
from polytask.evaluation.statistics import Curve, Statistic, aggregate_curve, interquartile_mean, task_mean
from polytask.report import figures, html, maps
from polytask.report.figures import Line, plain
from polytask.report.material import Material, score_word, shared_scores
from polytask.report.methods import Method
from polytask.report.plot import MUTED, series_style
from polytask.report.published import Published
from polytask.report.results import rng
from polytask.report.stills import stills
from polytask.runs.records import Schema

_DASHES = ((0, (4, 2)), (0, (1, 1.5)))


def _published_style(index: int) -> dict:
    return {"color": MUTED, "linestyle": _DASHES[index % 2], "linewidth": 1.6}


def _published_line(material: Material, published: Published, index: int, curve: Curve, task: str = "") -> Line:
    steps, key = published.steps[published.steps <= material.last_evaluation], material.published_key(published.label)
    return Line(steps, curve, _published_style(index), "" if task else published.label, method=key, task=task)


def curve_legend(material: Material, references: Sequence[Published]) -> str:
    """One entry for each method, and for each published curve."""
    several = len(material.methods) > 1
    whose = "this run" if len(material.methods[0].runs) == 1 else f"these {len(material.methods[0].runs)} runs"
    entries = [
        (f"--s{i % 6 + 1}", m.label if several else whose, "solid", str(i)) for i, m in enumerate(material.methods)
    ]
    dashes, key = ("dashed", "dotted"), material.published_key
    return html.legend(entries + [("--muted", p.label, dashes[i % 2], key(p.label)) for i, p in enumerate(references)])


def _method_lines(material: Material, statistic: Statistic) -> list[Line]:
    lines = []
    for index, method in enumerate(material.methods):
        if not method.steps.size:
            continue
        scores = shared_scores(method, material.shared)
        curve = aggregate_curve(scores, statistic, rng=rng())
        seeds = [np.array([float(statistic(one[None, :, e])) for e in range(method.steps.size)]) for one in scores]
        own = f"{text.plural(len(method.seeds), 'seed')}" if len(material.methods) == 1 else method.label
        label = own if len(own) < 26 else f"{own[:24]}…"
        thin = list(zip(method.seeds, seeds, strict=True)) if len(seeds) > 1 else ()
        lines.append(Line(method.steps, curve, series_style(index), label, thin, str(index)))
    return lines


def _published_lines(material: Material, references: Sequence[Published], which: str) -> list[Line]:
    lines = []
    for index, published in enumerate(references):
        values, bounds = (
            (published.mean, published.mean_bounds) if which == "mean" else (published.iqm, published.iqm_bounds)
        )
        shown = published.steps <= material.last_evaluation
        if values is None or not shown.any():
            continue
        curve = plain(values[shown]) if bounds is None else Curve(values[shown], bounds[0, shown], bounds[1, shown])
        lines.append(_published_line(material, published, index, curve))
    return lines


def _both_widths(
    lines: Sequence[Line], last: int, unit: str, title: str, axis: str, limits: tuple[float, float] | None = None
) -> str:
    wide, narrow = (figures.aggregate(lines, last, unit, title, axis, w, limits) for w in (True, False))
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def _aggregate_caption(
    lines: Sequence[Line], references: Sequence[Line], name: str, tasks: int, last: int, schema: Schema
) -> str:
    values = lines[0].curve.value
    over = f" over {text.plural(tasks, 'task')}" if tasks > 1 else ""
    if len(lines) > 1 and tasks == 1:
        said = f"{name}, to {text.steps(last)} {schema.unit}"
    elif len(lines) > 1:
        said = (
            f"{name} over the {text.plural(tasks, 'task')} that all methods share, to {text.steps(last)} {schema.unit}"
        )
    elif len(values) == 1:
        said = f"{name}{over} at the one evaluation so far is {schema.score(float(values[0]))}"
    else:
        verb = "rises" if values[-1] > values[0] else "goes"
        said = f"{name}{over} {verb} from {schema.score(float(values[0]))} to "
        said += f"{schema.score(float(values[-1]))} at {text.steps(last)} {schema.unit}"
    if references:
        said += "; broken lines are what was published"
    if any(line.curve.has_interval for line in lines):
        return f"{said}. Bands are 95 % stratified-bootstrap intervals over seeds, thin lines single seeds."
    return f"{said}. There is one seed, so no band."


def _protocol(material: Material, references: Sequence[Published]) -> str:
    """Says in what the published runs differ from these."""
    if not references:
        return ""
    specs = material.specs
    facts = []
    for word, values in (
        (word, {s.protocol[word] for s in specs if word in s.protocol})
        for word in dict.fromkeys(word for s in specs for word in s.protocol)
    ):
        facts.append(f"{word} {'/'.join(sorted(values))}")
    windows = [run.config.get("policy_average") for method in material.methods for run in method.runs]
    averaged = sorted({window for window in windows if isinstance(window, int) and window})
    if averaged:  # the published runs evaluated the last weights
        facts.append(f"weights averaged over {' or '.join(f'{window:,}' for window in averaged)} steps")
    ours = f"Here: {text.plural(len(specs), 'task')}{', ' if facts else ''}{', '.join(facts)}. "
    theirs = " ".join(f"{p.label}: {p.protocol}; {p.seeds} seeds." for p in references)
    return html.paragraph(
        f"The protocols differ, so read the distance with care. {ours}{theirs} Source: {references[0].source}.",
        "protocol",
    )


def aggregate(material: Material) -> str:
    """The section with the learning curve over all tasks, or of the one that there is."""
    alone = len(material.specs) == 1
    if not any(m.steps.size for m in material.methods):
        body = html.missing("There is no learning curve: no evaluation has been recorded yet.")
    elif alone and not material.schema.against:
        shown = _aggregate_charts(material) if material.shared else _returns_chart(material, material.specs[0].name)
        body = _stills(material).get(material.specs[0].name, "") + shown
    elif not material.shared:
        body = html.missing(
            "There is no aggregate curve: no task has a score (a success rule or a score range) that all methods share."
        )
    else:
        body = _aggregate_charts(material)
    return html.section("learning", "Learning" if alone else "Learning, all tasks together", body)


def _aggregate_charts(material: Material) -> str:
    references, last, schema = material.references(), material.last_evaluation, material.schema
    axis = schema.axis
    word = score_word([s for s in material.specs if s.name in material.shared])
    drawn = [p for p in references if p.steps[0] <= last]
    parts = [_protocol(material, drawn)]
    wanted: list[tuple[str, str, Statistic]] = [("Mean", "mean", task_mean)]
    if any(len(m.seeds) > 1 for m in material.methods) and not schema.against:
        wanted.insert(0, ("Interquartile mean (IQM)", "iqm", interquartile_mean))
    for name, which, statistic in wanted:
        ours, theirs = _method_lines(material, statistic), _published_lines(material, references, which)
        chart = _both_widths(
            [*ours, *theirs], last, f"{'IQM' if which == 'iqm' else 'mean'} {word}", f"{name} {word} over steps", axis
        )
        caption = _aggregate_caption(ours, theirs, f"{name} {word}", len(material.shared), last, schema)
        legend = f'<div class="narrow">{curve_legend(material, references if theirs else [])}</div>'
        parts.append(html.figure(legend + chart, caption))
    left_out = [material.names[s.name] for s in material.specs if s.name not in material.shared]
    if left_out:
        parts.append(html.missing(f"Left out, for want of a score that all methods have: {text.listed(left_out)}."))
    if references and last < references[0].steps[0]:
        first = text.steps(int(references[0].steps[0]))
        parts.append(html.missing(f"The published curve starts at {first} steps, after this run's last evaluation."))
    return "".join(parts)


def _returns_chart(material: Material, task: str) -> str:
    """The curve of a task that has no score: the figure beside it, on its own scale."""
    schema = material.schema
    lines, last = _task_lines(material, task, scored=False, references=[]), material.last_evaluation
    name = schema.beside_name
    chart = _both_widths(lines, last, name, f"{name} over steps", schema.axis, _own_limits(lines))
    return html.figure(chart, f"Mean {name} of {task}, which has no score, against {schema.axis}.")


def _stills(material: Material) -> dict[str, str]:
    return stills([run for method in material.methods for run in method.runs])


def _seed_mean(values: np.ndarray) -> np.ndarray:
    """(seeds, evaluations) to (evaluations,), without warnings where all seeds are missing."""
    return np.array([float(task_mean(values[:, [e]])) for e in range(values.shape[1])])


def _task_lines(material: Material, name: str, scored: bool, references: Sequence[Published]) -> list[Line]:
    lines = []
    for index, published in enumerate(references):
        shown = published.steps <= material.last_evaluation
        if name in published.tasks and shown.any():
            curve = plain(published.tasks[name][shown])
            lines.append(_published_line(material, published, index, curve, material.names[name]))
    for index, method in enumerate(material.methods):
        if name not in method.names or not method.steps.size:
            continue
        values = (method.scores if scored else method.returns)[:, method.names.index(name)]
        several = len(values) > 1 and len(material.methods) == 1
        thin = list(zip(method.seeds, values, strict=True)) if several else ()
        curve, style = plain(_seed_mean(values)), series_style(index)
        lines.append(Line(method.steps, curve, style, method.label, thin, str(index), material.names[name]))
    return lines


def by_task(material: Material) -> str:
    """Small multiples of every task: scores on a shared axis, then tasks that have returns only, each on its own.

    Beside the curves of a task with images stands what the agent sees.
    Nothing where there is one task, whose curve is shown already, and for decisions.
    """
    if material.schema.against or len(material.specs) == 1:
        return ""
    if not any(m.steps.size for m in material.methods):
        return html.section("tasks", "Learning, task by task", html.missing("No evaluation has been recorded yet."))
    reached = [p for p in material.published if p and p.steps[0] <= material.last_evaluation]
    references = list({p.label: p for p in reached}.values())
    has_score = {
        n
        for m in material.methods
        for n, s in zip(m.names, m.scores.swapaxes(0, 1), strict=True)
        if np.isfinite(s).any()
    }
    parts = [curve_legend(material, references)]
    seen = _stills(material)
    for scored in (True, False):
        tasks = [s.name for s in material.specs if (s.name in has_score) == scored]
        if not tasks:
            continue
        lines = {n: _task_lines(material, n, scored, references if scored else []) for n in tasks}
        common = figures.score_limits(*(v for m in material.methods for v in (m.scores,))) if scored else None
        charts = [
            seen.get(n, "")
            + figures.task_panel(lines[n], material.last_evaluation, common or _own_limits(lines[n]), material.names[n])
            for n in tasks
        ]
        panels = html.grid(charts, small=True, tasks=[material.names[n] for n in tasks])
        parts.append(html.figure(panels, _task_caption(material, tasks, scored)))
    return html.section("tasks", "Learning, task by task", *parts)


def _own_limits(lines: Sequence[Line]) -> tuple[float, float]:
    values = np.concatenate([line.curve.value for line in lines])
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    pad = 0.08 * (finite.max() - finite.min()) or 0.5
    return float(finite.min() - pad), float(finite.max() + pad)


def _task_caption(material: Material, tasks: Sequence[str], scored: bool) -> str:
    if not scored:
        return (
            f"Mean {material.schema.beside_name} against {material.schema.axis}, each on its own scale: these "
            "tasks have no common score."
        )
    word = score_word([s for s in material.specs if s.name in tasks])
    result = material.results[0]
    ends = {t.name: t.score.value for t in result.tasks if t.name in tasks} if result else {}
    high = [material.names[n] for n, v in ends.items() if v >= 0.9]
    low = [material.names[n] for n, v in ends.items() if v <= 0.1]
    said = f"{word[:1].upper() + word[1:]} (0 to 1) against {material.schema.axis}: "
    said += f"{len(high)} of {len(ends)} end at 0.9 or more"
    said += f", {text.listed(low)} at 0.1 or less" if low else ", none at 0.1 or less"
    return said + " (of the first method)." if len(material.methods) > 1 else said + "."


def heat(material: Material) -> str:
    """The section with every task's score over time, as a heat map; nothing where there is one task (`by_task`)."""
    if material.schema.against or len(material.specs) == 1:
        return ""
    parts = html.by_method([m.label for m in material.methods], [_heat_figure(m, material) for m in material.methods])
    return html.section("heat", "Which tasks are learned when", parts)


def _heat_figure(method: Method, material: Material) -> str:
    known = np.asarray(np.isfinite(method.scores).any((0, 2)))
    if not known.any():
        why = "no evaluation has been recorded yet" if not method.steps.size else "no task has a score from 0 to 1"
        return html.missing(f"There is no heat map: {why}.")
    values = np.stack([_seed_mean(method.scores[:, t]) for t in np.flatnonzero(known)])
    names = [material.names[n] for n, k in zip(method.names, known, strict=True) if k]
    # Early learners on top: the mean over the whole run is the area under the curve.
    area = np.where(np.isnan(values), 0, values).mean(1)
    order = np.lexsort((-values[:, -1], -area))
    content = maps.heat_map(values[order], [names[i] for i in order], method.steps.tolist())
    word = score_word([s for s, k in zip(method.specs, known, strict=True) if k])
    never = [names[i] for i in order if not (values[i] >= 0.5).any()]
    if values.shape[1] == 1:
        said = "One evaluation so far, best task on top"
    elif len(never) == len(names):
        said = "No task has reached 0.5 so far"
    elif never:
        said = f"{names[order[0]]} is learned first, while {text.listed(never)} never reached 0.5"
    else:
        said = f"{names[order[0]]} is learned first" + (f", {names[order[-1]]} last" if len(names) > 1 else "")
    caption = f"{said}: darker is a higher {word}, and time runs to the right."
    return html.figure(content + '<p class="note">0<span class="scale up"></span>1</p>', caption)
