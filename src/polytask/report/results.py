"""The numbers at the final checkpoint: per task, over tasks, and one method against another."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from polytask.evaluation.statistics import (
    Estimate,
    delta_m,
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
    task_mean,
    wilson_interval,
)
from polytask.evaluation.text import plural
from polytask.report.methods import Method
from polytask.report.published import Published


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """`over` says what the interval of `score` is over; `published` is at the published step nearest before."""

    name: str
    success: float
    returned: float
    score: Estimate
    over: str
    published: float | None


@dataclasses.dataclass(frozen=True)
class MethodResult:
    """`mean` and `iqm` are over the tasks that have a score, at `step` (environment steps per task)."""

    step: int
    mean: Estimate
    iqm: Estimate
    tasks: tuple[TaskResult, ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Against the first method, at the last step and on the scored tasks that all methods share."""

    mean: Estimate
    iqm: Estimate
    improvement: Estimate | None
    delta_m: float


def rng() -> np.random.Generator:
    """The report's own generator: the same runs give the same report."""
    return np.random.default_rng(0)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def _task_score(method: Method, task: int, at: int) -> tuple[Estimate, str]:
    scores = method.scores[:, [task], at]
    measured = int(np.isfinite(scores).sum())
    if measured != 1:
        return stratified_bootstrap(scores, task_mean, rng=rng()), plural(measured, "seed")
    spec = method.specs[task]
    if not spec.proportion:
        return stratified_bootstrap(scores, task_mean, rng=rng()), "one seed"
    seed = int(np.flatnonzero(np.isfinite(scores[:, 0]))[0])
    episodes = int(method.episodes[seed, task, at])
    over = plural(episodes, spec.counted)
    return wilson_interval(round(float(scores[seed, 0]) * episodes), episodes), over


def final_result(method: Method, published: Published | None) -> MethodResult | None:
    """The numbers at the method's last evaluation; None if it has none."""
    if not method.steps.size:
        return None
    at, step = method.steps.size - 1, int(method.steps[-1])
    point = published.index_at(step) if published else None
    tasks = []
    for t, spec in enumerate(method.specs):
        estimate, over = _task_score(method, t, at)
        known = published.tasks.get(spec.name) if published else None
        tasks.append(
            TaskResult(
                name=spec.name,
                success=_mean(method.success[:, t, at]),
                returned=_mean(method.returns[:, t, at]),
                score=estimate,
                over=over,
                published=float(known[point]) if known is not None and point is not None else None,
            )
        )
    final = method.scores[:, :, at]
    return MethodResult(
        step=step,
        mean=stratified_bootstrap(final, task_mean, rng=rng()),
        iqm=stratified_bootstrap(final, interquartile_mean, rng=rng()),
        tasks=tuple(tasks),
    )


def common_ground(methods: Sequence[Method]) -> tuple[int | None, list[str]]:
    """The last evaluation step that all methods share, and the tasks that all of them scored at it."""
    steps = set.intersection(*(set(m.steps.tolist()) for m in methods))
    if not steps:
        return None, []
    step = max(steps)
    scored = []
    for method in methods:
        final = method.scores[:, :, method.steps.tolist().index(step)]
        scored.append(
            [n for n, known in zip(method.names, np.asarray(np.isfinite(final).any(0)), strict=True) if known]
        )
    return step, [n for n in scored[0] if all(n in names for names in scored)]


def _scores_at(method: Method, step: int, tasks: Sequence[str]) -> np.ndarray:
    columns = [method.names.index(n) for n in tasks]
    return method.scores[:, columns, method.steps.tolist().index(step)]


def task_scores(method: Method, step: int, tasks: Sequence[str]) -> list[Estimate]:
    """Each task's mean score over seeds with its interval, at one of the method's evaluations."""
    scores = _scores_at(method, step, tasks)
    return [stratified_bootstrap(scores[:, [t]], task_mean, rng=rng()) for t in range(len(tasks))]


def compare(methods: Sequence[Method], step: int, tasks: Sequence[str]) -> list[Comparison]:
    """Every method on common ground (`common_ground`); Δm is against the first single-task method, NaN without one."""
    scores = [_scores_at(m, step, tasks) for m in methods]
    single = next((s for m, s in zip(methods, scores, strict=True) if m.agents == "single"), None)
    per_task = [np.array([_mean(s[:, t]) for t in range(len(tasks))]) for s in scores]
    base = None if single is None else np.array([_mean(single[:, t]) for t in range(len(tasks))])
    return [
        Comparison(
            mean=stratified_bootstrap(s, task_mean, rng=rng()),
            iqm=stratified_bootstrap(s, interquartile_mean, rng=rng()),
            improvement=None if i == 0 else probability_of_improvement(s, scores[0], rng=rng()),
            delta_m=math.nan if base is None or s is single else delta_m(mean, base),
        )
        for i, (s, mean) in enumerate(zip(scores, per_task, strict=True))
    ]
