"""What training logged: losses, entropy, temperature, gradient norms, values; for the agent and for its tasks."""

import numpy as np

from polytask.evaluation import text
from polytask.report import figures, html
from polytask.report.figures import Line, plain
from polytask.report.learning import curve_legend
from polytask.report.material import Material
from polytask.report.methods import Method
from polytask.report.plot import series_style


def _nan_mean(stack: np.ndarray) -> np.ndarray:
    known = np.isfinite(stack)
    count = known.sum(0)
    total = np.where(known, stack, 0.0).sum(0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _aligned(method: Method, pick) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
    """The steps that all runs logged, the runs' values at them, stacked as (runs, rows, ...), and the runs' seeds."""
    found = [(r.seed, r.metrics.steps, v) for r in method.runs if (v := pick(r)) is not None and len(v)]
    if not found:
        return None
    steps = found[0][1]
    for _, other, _ in found[1:]:
        steps = np.intersect1d(steps, other)
    seeds = [seed for seed, _, _ in found]
    return steps, np.stack([values[np.isin(own, steps)] for _, own, values in found]), seeds


def _line(method: Method, index: int, key: str) -> Line | None:
    aligned = _aligned(method, lambda run: run.metrics.values.get(key))
    if aligned is None or not np.isfinite(aligned[1]).any():
        return None
    steps, values, seeds = aligned
    thin = list(zip(seeds, values, strict=True)) if len(values) > 1 else ()
    return Line(steps, plain(_nan_mean(values)), series_style(index), method.label, thin, str(index))


def _plain_line(method: Method, index: int, steps: np.ndarray, values: np.ndarray) -> Line:
    return Line(steps, plain(values), series_style(index), method.label, method=str(index))


def _tasks(method: Method, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(rows,) and (rows, tasks): each task's metric, averaged over the seeds."""

    def pick(run):
        values = run.metrics.tasks.get(key)
        if values is None or not np.isfinite(values).any():
            return None
        columns = np.full((len(values), len(method.specs)), np.nan)
        columns[:, [method.names.index(s.name) for s in run.specs]] = values
        return columns

    aligned = _aligned(method, pick)
    return None if aligned is None else (aligned[0], _nan_mean(aligned[1]))


def _panel(method: Method, index: int, key: str, title: str, material: Material) -> str | None:
    """The agent's line with its tasks behind it; the mean over tasks where only tasks were logged."""
    line, tasks = _line(method, index, key), _tasks(method, key)
    if tasks is not None and len(method.specs) > 1:
        line = line or _plain_line(method, index, tasks[0], _nan_mean(tasks[1].T))
        # Tasks and agent are logged in the same rows; where they are not, only the agent's line can be drawn.
        per_task = tasks[1] if len(line.steps) == len(tasks[0]) else None
    elif tasks is not None:
        line, per_task = line or _plain_line(method, index, tasks[0], tasks[1][:, 0]), None
    else:
        per_task = None
    if line is None or not line.steps.size:
        return None
    names = [material.names[n] for n in method.names]
    return figures.metric_panel([line], per_task, names, material.last_step, title, material.schema.unit)


def _method_panels(method: Method, index: int, material: Material) -> str:
    measures = material.schema.measures
    charts = [c for m in measures if (c := _panel(method, index, m.name, m.title, material))]
    expected = [m for m in measures if m.expected]
    absent = [m.title for m in expected if _line(method, index, m.name) is None and _tasks(method, m.name) is None]
    if not charts:
        return html.missing("Training logged no losses yet: metrics.jsonl holds none (see --log-every).")
    schema = material.schema
    found = f"{text.plural(len(charts), 'quantity').replace('quantitys', 'quantities')} against {schema.axis}"
    caption = f"{found}."
    if len(method.specs) > 1:
        caption = (
            f"{found}: the thick line is the {schema.learner} (the mean over tasks where only tasks are logged), thin "
            "grey lines are its tasks, the highest and lowest named at the end; a grey line that leaves the others is "
            "a task to look at."
        )
    lacking = html.missing(f"Not logged by this {schema.learner}: {text.listed(absent, most=9)}.") if absent else ""
    return html.figure(html.grid(charts), caption) + lacking


def training(material: Material) -> str:
    """The section on losses, entropy and gradient norms."""
    methods, schema = material.methods, material.schema
    title = schema.training
    if len(methods) == 1:
        return html.section("training", title, _method_panels(methods[0], 0, material))
    charts = []
    for key, name, _ in schema.measures:
        lines = [line for i, m in enumerate(methods) if (line := _line(m, i, key)) and line.steps.size]
        if lines:
            charts.append(figures.metric_panel(lines, None, (), material.last_step, name, schema.unit))
    caption = f"Training quantities against {schema.axis}, means over seeds; thin lines are single seeds."
    body = html.figure(html.grid(charts), caption) if charts else html.missing("Training logged no losses yet.")
    each = [
        html.of_method(i, html.details(f"{m.label}, task by task", _method_panels(m, i, material)))
        for i, m in enumerate(methods)
    ]
    return html.section("training", title, curve_legend(material, []), body, *each)
