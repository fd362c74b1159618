"""Predictors that feed a decision: error against decision quality, the learned metric, the inner residual."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from polytask.evaluation import text
from polytask.evaluation.statistics import Estimate, masked_mean, stratified_bootstrap, task_mean
from polytask.report import html, plot
from polytask.report.data import LearnedMetric
from polytask.report.material import Material
from polytask.report.methods import Method
from polytask.report.results import rng
from polytask.report.task_loss import draw_metric, draw_quality, draw_residual

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STRETCHES, _ORDINAL = 8, "eighth"


def estimates(method: Method) -> tuple[Estimate, Estimate]:
    """Decision quality and squared error at a method's last evaluation, with intervals over seeds."""
    quality, error = (stratified_bootstrap(v[:, :, -1], task_mean, rng=rng()) for v in (method.scores, method.returns))
    return quality, error


def decisions(material: Material) -> str:
    """The section of training runs for decisions; nothing where there is none."""
    if not material.schema.against:
        return ""
    evaluated = [m for m in material.methods if m.steps.size]
    if not evaluated:
        return html.section("decisions", "Decisions", html.missing("No evaluation has been recorded yet."))
    parts = []
    for name in dict.fromkeys(m.names[0] for m in evaluated):
        methods = [m for m in evaluated if m.names[0] == name]
        head = f"<h3>{escape(name)}</h3>" if len(material.specs) > 1 else ""
        colours = {m.label: plot.SERIES[i % len(plot.SERIES)] for i, m in enumerate(material.methods)}
        parts += [head, _quality(name, methods, colours), _metrics(methods), _residual(methods, colours)]
    return html.section("decisions", "Errors, decisions and the learned metric", *parts)


def _two_widths(draw: Callable[["Axes"], None], height: int, left: int, title: str) -> str:
    """A chart for a wide page, and one for a narrow."""
    charts = [plot.chart(draw, width, height, (left, 20, 14, 44), title) for width in (640, 350)]
    return f'<div class="wide">{charts[0]}</div><div class="narrow">{charts[1]}</div>'


def _quality(name: str, methods: Sequence[Method], colours: Mapping[str, str]) -> str:
    labels = [m.label for m in methods]
    points = {label: (m.returns[:, 0, -1], m.scores[:, 0, -1]) for label, m in zip(labels, methods, strict=True)}
    points = {label: _known(*pair) for label, pair in points.items()}
    paths = {label: (_way(m.returns[:, 0]), _way(m.scores[:, 0])) for label, m in zip(labels, methods, strict=True)}
    rows = []
    schema = methods[0].runs[0].schema
    for label, method in zip(labels, methods, strict=True):
        quality, error = estimates(method)
        cells = (
            f"{text.number(error.value)}{_bounds(error, text.number)}",
            schema.score(quality.value),
        )
        rows.append(
            [
                escape(label),
                str(len(method.seeds)),
                cells[1] + _bounds(quality, schema.score),
                cells[0],
            ]
        )
    head = ["Method", "Seeds", "Decision quality", "Squared error"]
    table = html.table(head, rows, ["", "n", "n", "n"], methods=[[*colours].index(label) for label in labels])
    best = max(zip(labels, methods, strict=True), key=lambda pair: estimates(pair[1])[0].value)[0]
    least = min(zip(labels, methods, strict=True), key=lambda pair: estimates(pair[1])[1].value)[0]
    said = f"{best} decides best" + (", and has" if best == least else f", {least} has") + " the smallest squared error"
    said = said if len(methods) > 1 else f"Decision quality of {labels[0]} against its squared error"
    chart = _two_widths(
        lambda axes: draw_quality(axes, points, [colours[m] for m in points], paths),
        300,
        54,
        f"{name}: quality over error",
    )
    caption = (
        f"{said}: small points are seeds on the test data at the end, large ones their mean, and lines the way there, "
        f"as means over each {_ORDINAL} of the training but the first."
    )
    intervals = "Small numbers are 95 % intervals over seeds." if any(len(m.seeds) > 1 for m in methods) else ""
    return html.figure(chart, caption) + html.figure(table, f"What is on the axes, in numbers. {intervals}".strip())


def _way(values: np.ndarray) -> np.ndarray:
    """The mean over seeds of (seeds, evaluations), over a few stretches, and its end; without the first, which starts
    anywhere."""
    mean = masked_mean(values, np.isfinite(values), 0)
    stretches = [part for part in np.array_split(mean, _STRETCHES)[1:] if len(part)]
    return np.array([*map(np.mean, stretches), mean[-1]])


def _known(error: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = np.isfinite(error) & np.isfinite(quality)
    return error[there], quality[there]


def _bounds(estimate: Estimate, show: Callable[[float], str]) -> str:
    return f" <small>{show(estimate.low)} to {show(estimate.high)}</small>" if estimate.has_interval else ""


def _metrics(methods: Sequence[Method]) -> str:
    """The learned metric of each method that learned one, a mean over its seeds."""
    found = []
    for method in methods:
        learned = [run.evaluations.metric for run in method.runs if run.evaluations.metric is not None]
        alike = [m for m in learned if (m.tasks, m.outputs) == (learned[0].tasks, learned[0].outputs)]
        if alike:
            found.append(_metric(method.label, alike))
    return "".join(found)


def _metric(label: str, learned: Sequence[LearnedMetric]) -> str:
    """Heat maps of weights relative to their mean: by task and output, and by tenths of the truth."""
    first = learned[0]
    weights = np.mean([m.weights / m.weights.mean() for m in learned], axis=0)
    scale = np.mean([m.weights.sum(1).mean() for m in learned])
    over = f", a mean over {len(learned)} seeds" if len(learned) > 1 else ""
    by_truth = [m.by_truth for m in learned if m.by_truth is not None]
    averaged = ", a mean over the test rows since it depends on the input" if by_truth else ""
    margin = 24 + round(6.5 * max(map(len, first.tasks)))
    parts = []
    if weights.size > 1:
        height = 70 + 34 * len(first.tasks)
        heaviest = np.unravel_index(np.argmax(weights), weights.shape)
        of = [first.tasks[heaviest[0]]] * (len(first.tasks) > 1) + [f"output {first.outputs[heaviest[1]]}"] * (
            len(first.outputs) > 1
        )
        caption = (
            f"The metric that {label} learned{averaged}{over}: what a squared error costs by task and output, relative "
            f"to the mean; most of all in {', '.join(of)}. Its scale, a mean trace of {text.number(float(scale))}, "
            "changes nothing in what it prefers."
        )
        title = f"The metric that {label} learned"
        parts.append(
            html.figure(
                _two_widths(lambda a: draw_metric(a, weights, first.tasks, first.outputs), height, margin, title),
                caption,
            )
        )
    if by_truth:
        tenths = np.mean(by_truth, axis=0)
        columns = ["least", *[""] * (tenths.shape[1] - 2), "most"]
        height = 70 + 34 * len(first.tasks)
        heaviest = 1 + int(np.argmax(tenths.mean(0)))
        caption = (
            f"The metric that {label} learned by tenths of the true value{over}, the smallest on the left, relative to "
            f"each output's mean: errors cost most in tenth {heaviest}."
        )
        title = f"The metric that {label} learned, by true value"
        parts.append(
            html.figure(
                _two_widths(lambda a: draw_metric(a, tenths, first.tasks, columns), height, margin, title), caption
            )
        )
    return "".join(parts)


def _residual(methods: Sequence[Method], colours: Mapping[str, str]) -> str:
    """The inner residual over time, of the methods that have one."""
    curves, steps = {}, {}
    for method in methods:
        known = [
            r.metrics for r in method.runs if np.isfinite(r.metrics.values.get("inner_residual", np.array([]))).any()
        ]
        if not known:
            continue
        common = sorted(set.intersection(*(set(m.steps.tolist()) for m in known)))
        if common:
            rows = [m.values["inner_residual"][np.isin(m.steps, common)] for m in known]
            curves[method.label], steps[method.label] = np.stack(rows), np.array(common)
    if not curves:
        return ""
    chart = _two_widths(
        lambda axes: draw_residual(axes, curves, [colours[m] for m in curves], steps),
        250,
        54,
        "Inner residual over steps",
    )
    caption = (
        "The inner residual, the norm of the predictor's gradient where the metric's was taken: the nearer to 0, the "
        "more the metric's gradient can be trusted; with minibatches it keeps their noise and grows with the trace."
    )
    return html.figure(chart, caption)
