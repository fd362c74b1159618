"""The lines of affinity.jsonl, and what many of them say together. NumPy only."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

_FEWEST_PERIODS = 5  # with which the spread between periods says more than the spread within


@dataclasses.dataclass(frozen=True)
class Record:
    """What was measured from step `period[0]` to `period[1]`; matrices are [source][recipient].

    `part` says whose losses: "model", or "critic" and "actor". `count` is the number of measurements of each entry,
    `variance` that of single measurements, NaN where it is unknown.
    """

    step: int
    period: tuple[int, int]
    measure: str
    part: str
    tasks: tuple[str, ...]
    matrix: Float[np.ndarray, "tasks tasks"]
    count: Float[np.ndarray, "tasks tasks"]
    variance: Float[np.ndarray, "tasks tasks"]


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Many periods as one: the mean of all measurements and its standard error (NaN where it is unknown)."""

    measure: str
    part: str
    tasks: tuple[str, ...]
    mean: Float[np.ndarray, "tasks tasks"]
    error: Float[np.ndarray, "tasks tasks"]
    count: Float[np.ndarray, "tasks tasks"]
    periods: int
    steps: tuple[int, int]


def to_line(record: Record) -> dict[str, Any]:
    """A record as a JSON object; a count that is the same everywhere is one number, NaN is null."""
    counts = np.unique(record.count)
    return {
        "step": record.step,
        "period": list(record.period),
        "measure": record.measure,
        "part": record.part,
        "matrix": _listed(record.matrix),
        "count": int(counts[0]) if counts.size == 1 else record.count.astype(int).tolist(),
        "variance": _listed(record.variance),
        "tasks": list(record.tasks),
    }


def from_line(line: dict[str, Any]) -> Record:
    """The record of a JSON object. Raises ValueError, naming what is wrong."""
    try:
        tasks = tuple(str(name) for name in line["tasks"])
        shape = (len(tasks), len(tasks))
        matrices = [_matrix(line.get(name), shape) for name in ("matrix", "count", "variance")]
        start, end = line["period"]
        return Record(
            int(line["step"]),
            (int(start), int(end)),
            str(line["measure"]),
            str(line.get("part", "model")),
            tasks,
            *matrices,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a line of affinity.jsonl ({type(error).__name__}: {error})") from error


def from_averages(
    averages: Any, step: int, period: tuple[int, int], measure: str, tasks: Sequence[str], part: str = "model"
) -> Record:
    """The record of a period's `polytask.affinity.averages.Averages`, at the end of the period."""
    times, mean, squares = (np.asarray(array, np.float64) for array in averages)
    variance = np.where(times > 1, squares / np.maximum(times - 1, 1), np.nan)
    return Record(step, period, measure, part, tuple(tasks), np.where(times > 0, mean, np.nan), times, variance)


def parse(lines: Iterable[str]) -> tuple[list[Record], int | None, list[int]]:
    """The records of affinity.jsonl, the step of early stopping if one is noted, and the numbers of unreadable lines.

    A line {"step": s, "until": u} says, at step s, that training stopped early and its model is that of step u.
    """
    records, until, unreadable = [], None, []
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            if "until" in line:
                until = int(line["until"])
            else:
                records.append(from_line(line))
        except (ValueError, TypeError):
            unreadable.append(number)
    return records, until, unreadable


def pool(records: Sequence[Record], measure: str, part: str | None = None, until: int | None = None) -> Pooled:
    """All periods of a measure that end at step `until` or before, as one.

    The mean weighs every measurement alike. Its standard error comes from the spread between the periods' means where
    there are five periods or more: measurements that follow each other are alike, and the spread within a period would
    call them independent; drift over training then counts as uncertainty. With fewer periods it is the spread within.

    Raises ValueError if there is no such record, or the tasks changed on the way; `part` None takes the only one.
    """
    chosen = [r for r in records if r.measure == measure]
    parts = sorted({r.part for r in chosen})
    if part is None and len(parts) > 1:
        part = "critic" if "critic" in parts else parts[0]
    chosen = [r for r in chosen if part in (None, r.part) and (until is None or r.period[1] <= until)]
    if not chosen:
        known = sorted({f"{r.measure} ({r.part})" for r in records})
        limit = "" if until is None else f" that ends by step {until:,}"
        raise ValueError(
            f"no record of {measure}{'' if part is None else f' ({part})'}{limit}; "
            f"there are {', '.join(known) or 'none'}"
        )
    if len({r.tasks for r in chosen}) > 1:
        raise ValueError("the tasks change within affinity.jsonl; remove the lines of the other tasks")
    count = np.array([r.count for r in chosen])
    means = np.array([np.where(r.count > 0, r.matrix, 0.0) for r in chosen])
    total = count.sum(axis=0)
    safe = np.maximum(total, 1)
    mean = np.where(total > 0, (count * means).sum(axis=0) / safe, np.nan)
    error = _between(means, count, mean) if len(chosen) >= _FEWEST_PERIODS else _within(chosen, means, count, mean)
    steps = (min(r.period[0] for r in chosen), max(r.period[1] for r in chosen))
    return Pooled(measure, chosen[0].part, chosen[0].tasks, mean, error, total, len(chosen), steps)


def over_seeds(pooled: Sequence[Pooled]) -> Pooled:
    """Runs of several seeds as one: the mean of their means, and its standard error over the seeds.

    A single run stays as it is. Raises ValueError if the runs' tasks differ.
    """
    first = pooled[0]
    if len(pooled) == 1:
        return first
    if any(p.tasks != first.tasks for p in pooled):
        raise ValueError("the runs have different tasks, or the same in another order")
    means = np.array([p.mean for p in pooled])
    error = means.std(axis=0, ddof=1) / len(pooled) ** 0.5
    steps = (min(p.steps[0] for p in pooled), max(p.steps[1] for p in pooled))
    count = np.sum([p.count for p in pooled], axis=0)
    return dataclasses.replace(
        first, mean=means.mean(axis=0), error=error, count=count, periods=sum(p.periods for p in pooled), steps=steps
    )


def off_diagonal(pooled: Pooled) -> Float[np.ndarray, "tasks tasks"]:
    """The means with NaN on the diagonal: what tasks do to others."""
    return np.where(np.eye(len(pooled.tasks), dtype=bool), np.nan, pooled.mean)


def clear_pairs(pooled: Pooled) -> list[tuple[int, int]]:
    """(source, recipient) of all pairs whose mean is at least two standard errors from 0, the largest means first.

    About one pair in twenty would be so by chance.
    """
    means = off_diagonal(pooled)
    with np.errstate(invalid="ignore"):
        clear = np.argwhere(np.abs(means) >= 2 * pooled.error)
    return sorted(((int(s), int(r)) for s, r in clear), key=lambda pair: -means[pair])


def _between(means: np.ndarray, count: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Weighted batch means: sqrt(sum w^2 (m - mean)^2 P / (P - 1)) with w the periods' shares of the measurements."""
    weight = count / np.maximum(count.sum(axis=0), 1)
    periods = (count > 0).sum(axis=0)
    squares = (weight**2 * (means - mean[None]) ** 2).sum(axis=0)
    return np.where(periods > 1, np.sqrt(squares * periods / np.maximum(periods - 1, 1)), np.nan)


def _within(chosen: Sequence[Record], means: np.ndarray, count: np.ndarray, mean: np.ndarray) -> np.ndarray:
    variances = np.array([np.where(np.isfinite(r.variance), r.variance, 0.0) for r in chosen])
    squares = (np.maximum(count - 1, 0) * variances + count * (means - mean[None]) ** 2).sum(axis=0)
    total = count.sum(axis=0)
    return np.where(total > 1, np.sqrt(squares / np.maximum(total - 1, 1) / np.maximum(total, 1)), np.nan)


def conflict_rates(pooled: Pooled) -> Float[np.ndarray, " tasks"]:
    """How often each task's gradient conflicts with another's: the mean over the others of a "conflict" record."""
    others = off_diagonal(pooled)
    known = np.isfinite(others)
    return np.where(
        known.any(axis=1), np.where(known, others, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan
    )


def _listed(matrix: np.ndarray) -> list[list[float | None]]:
    # Seven digits are what float32 holds.
    return [[float(f"{x:.7g}") if np.isfinite(x) else None for x in row] for row in np.asarray(matrix, np.float64)]


def _matrix(value: Any, shape: tuple[int, int]) -> np.ndarray:
    if isinstance(value, (int, float)):
        return np.full(shape, float(value))
    if value is None:
        return np.full(shape, np.nan)
    matrix = np.array([[np.nan if x is None else float(x) for x in row] for row in value], np.float64)
    if matrix.shape != shape:
        raise ValueError(f"a matrix of {matrix.shape} for {shape[0]} tasks")
    return matrix
