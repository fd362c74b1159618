"""The final table of every method, and the comparison of methods."""

import math
from collections.abc import Sequence
from html import escape

from polytask.evaluation import text
from polytask.evaluation.statistics import Estimate
from polytask.report import html
from polytask.report.material import Material, score_word
from polytask.report.methods import Method
from polytask.report.results import MethodResult, TaskResult, compare, task_scores
from polytask.runs.records import Schema


def _interval_cell(task: TaskResult, said_above: bool, schema: Schema) -> str:
    if math.isnan(task.score.value):
        return text.MISSING
    if not task.score.has_interval:
        return f"<small>{escape(task.over)}</small>"
    return schema.bounds(task.score) + ("" if said_above else f" <small>{escape(task.over)}</small>")


def _score_heading(method: Method) -> str:
    word = score_word(method.specs)
    return word[:1].upper() + word[1:] if word in ("accuracy", "R²") else "Score"


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _task_table(index: int, result: MethodResult, material: Material) -> str:
    method, published, names, schema = (
        material.methods[index],
        material.published[index],
        material.names,
        material.schema,
    )
    success = any(math.isfinite(t.success) for t in result.tasks)
    # Where every score is a success rate, one column says both.
    same = success and all(s.judged == "success" for s in method.specs)
    point = published.index_at(result.step) if published else None
    overs = {t.over for t in result.tasks if t.score.has_interval}
    one_over = len(overs) == 1
    theirs = (
        f"{escape(published.label)}, {text.steps(int(published.steps[point]))}"
        if published and point is not None
        else ""
    )
    columns = (
        ("Task", "", True),
        ("Success = score" if same else "Success", "n", success),
        (_score_heading(method), "n", not same),
        ("Score from 0 to 1", "fill", True),
        (f"95 % over {min(overs)}" if one_over else "95 % interval", "n", True),
        (theirs, "n", bool(theirs)),
        (schema.beside_name.capitalize(), "n", True),
    )
    rows = []
    for task in result.tasks:
        bar = html.score_bar(*task.score, task.published if theirs else None, method=index)
        success, value = schema.score(task.success), html.score(schema.score(task.score.value), index)
        row = [escape(names[task.name]), value if same else success, value, bar]
        row.append(_interval_cell(task, one_over, schema))
        rows.append([*row, schema.score(task.published), text.number(task.returned)])
    several = len(rows) > 1
    mean = html.score(schema.score(result.mean.value), index)
    beside = float(published.mean[point]) if theirs and published and published.mean is not None else None
    over = schema.bounds(result.mean) if result.mean.has_interval else f"<small>{_seeds(len(method.seeds))}</small>"
    bar = html.score_bar(*result.mean, beside, method=index)
    if several:
        rows.append(
            ["Mean", mean if same else "", mean, bar, over, schema.score(beside) if beside is not None else "", ""]
        )
    kept = [[cell for cell, column in zip(row, columns, strict=True) if column[2]] for row in rows]
    kinds, tasks = [c[1] for c in columns if c[2]], [names[task.name] for task in result.tasks]
    return html.table([c[0] for c in columns if c[2]], kept, kinds, total=several, tasks=tasks)


def _side_by_side(material: Material) -> str:
    """One row per task that all methods share, one column per method, at the last step that all share."""
    assert material.step is not None
    schema = material.schema
    evaluated = [(i, m) for i, m in enumerate(material.methods) if m.steps.size]
    found = [task_scores(m, material.step, material.shared) for _, m in evaluated]
    references = material.references()
    point = references[0].index_at(material.step) if references else None
    heads = [(html.of_method(i, escape(m.label), "span"), "n") for i, m in evaluated]
    columns = [("Task", ""), *heads, ("Score from 0 to 1", "fill")]
    if point is not None:
        columns.append((f"{escape(references[0].label)}, {text.steps(int(references[0].steps[point]))}", "n"))
    rows = []
    for t, name in enumerate(material.shared):
        known = references[0].tasks.get(name) if point is not None else None
        published = float(known[point]) if known is not None else None
        own = [(i, f[t]) for (i, _), f in zip(evaluated, found, strict=True)]
        bars = [html.score_bar(*e, published, f"--s{i % 6 + 1}", slim=True, method=i) for i, e in own]
        row = [escape(material.names[name]), *(html.score(schema.score(e.value), i) for i, e in own), "".join(bars)]
        rows.append(row + ([schema.score(published)] if point is not None else []))
    caption = (
        f"Every task's score at {text.steps(material.step)} {schema.unit}, the last evaluation that all methods share."
    )
    ticks = ", the tick the published score" if point is not None else ""
    key = f"Bars are in the order and the colours of the methods, their lines 95 % intervals over seeds{ticks}."
    tasks = [material.names[name] for name in material.shared]
    table = html.table([c[0] for c in columns], rows, [c[1] for c in columns], tasks=tasks)
    colours = html.legend([(f"--s{i % 6 + 1}", m.label, "solid", str(i)) for i, m in evaluated])
    return html.figure(colours + table, caption, key)


def results(material: Material) -> str:
    """The section with every task's last evaluation, beside published numbers."""
    several, schema = len(material.methods) > 1, material.schema
    parts = [_side_by_side(material)] if several and material.step is not None and material.shared else []
    for index, (method, result) in enumerate(zip(material.methods, material.results, strict=True)):
        published = material.published[index]
        if result is None:
            whose = method.label if several else "this run"
            parts.append(html.missing(f"There is no table: {whose} has not been evaluated yet (see --eval-every)."))
            continue
        caption = f"After {text.steps(result.step)} {schema.unit}. {schema.final}"
        rows = next((r for r in ("episodes", "rows") if any(t.over.endswith(r) for t in result.tasks)), "")
        if rows:
            caption += f" With one seed, the interval is over the {rows} of this evaluation (Wilson), not over seeds."
        marks = ["the line in a bar is its interval"] if any(t.score.has_interval for t in result.tasks) else []
        if published is not None and published.index_at(result.step) is not None:
            marks.append("the orange tick is the published score")
        key = f"{', '.join(marks).capitalize()}." if marks else ""
        table = html.figure(_task_table(index, result, material), caption, key)
        more = html.of_method(index, html.details(f"{method.label}, with intervals", table))
        parts.append(more if several else table)
    return html.section("results", "Final results by task", *parts)


def _estimate_cell(estimate: Estimate | None, schema: Schema) -> str:
    if estimate is None or math.isnan(estimate.value):
        return text.MISSING
    bounds = schema.bounds(estimate) if estimate.has_interval else "no interval"
    return f"{schema.score(estimate.value)} <small>{bounds}</small>"


def comparison(material: Material) -> str:
    """Methods against the first one; nothing where there is only one."""
    if len(material.methods) < 2:
        return ""
    evaluated: Sequence[Method] = [m for m in material.methods if m.steps.size]
    if material.step is None or not material.shared or len(evaluated) < 2:
        why = "they share no evaluation step" if material.step is None else "they share no task with a score"
        return html.section("comparison", "Comparison", html.missing(f"The methods cannot be compared: {why}."))
    schema = material.schema
    found = compare(evaluated, material.step, material.shared)
    with_delta = any(math.isfinite(c.delta_m) for c in found)
    head = ["Method", "Seeds", "Mean score", "IQM", f"P(better than {escape(evaluated[0].label)})"]
    rows = []
    for method, c in zip(evaluated, found, strict=True):
        row = [
            escape(method.label),
            str(len(method.seeds)),
            _estimate_cell(c.mean, schema),
            _estimate_cell(c.iqm, schema),
        ]
        row += [
            _estimate_cell(c.improvement, schema),
            f"{c.delta_m:+.1%}".replace("-", "−") if math.isfinite(c.delta_m) else text.MISSING,
        ]
        rows.append(row if with_delta else row[:-1])
    head += ["Δm against single-task"] if with_delta else []
    best = max(zip(evaluated, found, strict=True), key=lambda pair: pair[1].mean.value)
    caption = (
        f"{best[0].label} has the highest mean score at {text.steps(material.step)} {schema.unit}, the last "
        f"evaluation that all share, over the {text.plural(len(material.shared), 'task')} that all have; the small "
        "numbers are 95 % intervals over seeds, and P is the chance that a run beats one of the first method on a task."
    )
    own = [i for i, m in enumerate(material.methods) if m.steps.size]
    table = html.table(head, rows, ["", *["n"] * (len(head) - 1)], methods=own)
    return html.section("comparison", "Comparison", html.figure(table, caption))
