"""Statistics over seeds and tasks: point estimates with intervals that say how far to trust them.

Scores are arrays (seeds, tasks); NaN means "not measured" and is left out. An interval over seeds needs at least two
seeds of every task that was measured; with fewer its bounds are NaN, and whoever shows it says "one seed".

Sources: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264: interquartile mean, stratified bootstrap, probability of improvement); Wilson 1927.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Statistic = Callable[[Float[np.ndarray, "*batch seeds tasks"]], Float[np.ndarray, "*batch"]]

RESAMPLES = 2000
CONFIDENCE = 0.95
_AT_A_TIME = 4_000_000  # counts of resampled rows held in memory


class Estimate(NamedTuple):
    """A value and the bounds of its interval, in the unit of the value; bounds that are not defined are NaN."""

    value: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


class Curve(NamedTuple):
    """An `Estimate` at every evaluation: three arrays (evaluations,)."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def has_interval(self) -> bool:
        return bool(np.isfinite(self.low).any())


def masked_mean(values: np.ndarray, mask: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what the mask marks; NaN where it marks nothing."""
    count = mask.sum(axis)
    total = np.where(mask, values, 0.0).sum(axis)
    return np.divide(total, count, out=np.full(np.shape(count), np.nan), where=count > 0)


def task_mean(scores: Float[np.ndarray, "*batch seeds tasks"]) -> Float[np.ndarray, "*batch"]:
    """The mean over tasks of the mean over each task's seeds; NaN where nothing was measured."""
    per_task = masked_mean(scores, ~np.isnan(scores), -2)
    return masked_mean(per_task, ~np.isnan(per_task), -1)


def interquartile_mean(scores: Float[np.ndarray, "*batch seeds tasks"]) -> Float[np.ndarray, "*batch"]:
    """The mean of the middle half of all seeds of all tasks: `scipy.stats.trim_mean(·, 0.25)`, without the NaNs.

    Robust to a few tasks that are solved or hopeless; NaN where nothing was measured.
    """
    pooled = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)  # NaN sorts last
    count = (~np.isnan(pooled)).sum(-1, keepdims=True)
    cut = (0.25 * count).astype(int)
    rank = np.arange(pooled.shape[-1])
    return masked_mean(pooled, (rank >= cut) & (rank < count - cut), -1)


def _resample(
    scores: Float[np.ndarray, "seeds tasks"], uniforms: Float[np.ndarray, "resamples seeds tasks"]
) -> Float[np.ndarray, "resamples seeds tasks"]:
    """Draws each task's measured seeds with replacement, as many as there are, independently of the other tasks."""
    missing = np.isnan(scores)
    count = (~missing).sum(0)
    measured_first = np.take_along_axis(scores, np.argsort(missing, axis=0, kind="stable"), axis=0)
    draw = np.floor(uniforms * count).astype(int)
    drawn = measured_first[draw, np.arange(scores.shape[1])]
    return np.where(np.arange(scores.shape[0])[:, None] < count, drawn, np.nan)


def _spread_is_known(scores: Float[np.ndarray, "seeds tasks"]) -> bool:
    count = (~np.isnan(scores)).sum(0)
    return bool((count > 0).any() and (count[count > 0] >= 2).all())


def _bounds(samples: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def stratified_bootstrap(
    scores: Float[np.ndarray, "seeds tasks"],
    statistic: Statistic = interquartile_mean,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """A statistic of the scores with its percentile interval over seeds, resampled within each task.

    Tasks are resampled independently of each other. Where one agent learns all tasks, a good seed may lift them
    together; the interval does not see that and is then too narrow (docs/statistics.md has measured coverages).
    """
    curve = aggregate_curve(scores[:, :, None], statistic, rng=rng, resamples=resamples, confidence=confidence)
    return Estimate(float(curve.value[0]), float(curve.low[0]), float(curve.high[0]))


def aggregate_curve(
    scores: Float[np.ndarray, "seeds tasks evaluations"],
    statistic: Statistic = interquartile_mean,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Curve:
    """`stratified_bootstrap` at every evaluation, with the same draws at each: a band as smooth as its curve."""
    seeds, tasks, evaluations = scores.shape
    value = np.array([float(statistic(scores[:, :, e])) for e in range(evaluations)])
    low, high = np.full((2, evaluations), np.nan)
    if seeds < 2:
        return Curve(value, low, high)
    uniforms = rng.random((resamples, seeds, tasks))
    for e in range(evaluations):
        if _spread_is_known(scores[:, :, e]):
            low[e], high[e] = _bounds(statistic(_resample(scores[:, :, e], uniforms)), confidence)
    return Curve(value, low, high)


def _wins(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """P(X > Y) + P(X = Y)/2 per task, over all pairs of seeds; (..., seeds, tasks) twice to (..., tasks)."""
    x, y = ours[..., :, None, :], theirs[..., None, :, :]
    known = ~np.isnan(x) & ~np.isnan(y)
    won = (x > y) + 0.5 * (x == y)
    pairs = known.sum((-3, -2))
    return np.divide((won * known).sum((-3, -2)), pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def probability_of_improvement(
    ours: Float[np.ndarray, "our_seeds tasks"],
    theirs: Float[np.ndarray, "their_seeds tasks"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """How often a run of ours beats a run of theirs on the same task, ties counting half, averaged over tasks.

    0.5 means no difference. Tasks that either side lacks are left out. The interval needs two seeds on both sides.
    """
    shared = (~np.isnan(ours)).any(0) & (~np.isnan(theirs)).any(0)
    if not shared.any():
        return Estimate(math.nan, math.nan, math.nan)
    ours, theirs = ours[:, shared], theirs[:, shared]
    value = float(_wins(ours, theirs).mean())
    if not (_spread_is_known(ours) and _spread_is_known(theirs)):
        return Estimate(value, math.nan, math.nan)
    x = _resample(ours, rng.random((resamples, *ours.shape)))
    y = _resample(theirs, rng.random((resamples, *theirs.shape)))
    # One task at a time: all pairs of all tasks at once would need resamples x seeds^2 x tasks numbers.
    per_task = [_wins(x[:, :, [t]], y[:, :, [t]])[:, 0] for t in range(ours.shape[1])]
    return Estimate(value, *_bounds(np.mean(per_task, axis=0), confidence))


def relative_change(
    multi: Float[np.ndarray, " tasks"],
    single: Float[np.ndarray, " tasks"],
    higher_is_better: bool | Bool[np.ndarray, " tasks"] = True,
) -> Float[np.ndarray, " tasks"]:
    """(multi - single) / |single| for each task, signed so that positive is better.

    NaN where the baseline is 0 or unknown.
    """
    sign = np.where(higher_is_better, 1.0, -1.0)
    scale = np.abs(single)
    return np.divide(sign * (multi - single), scale, out=np.full(multi.shape, np.nan), where=scale > 0)


def delta_m(
    multi: Float[np.ndarray, " tasks"],
    single: Float[np.ndarray, " tasks"],
    higher_is_better: bool | Bool[np.ndarray, " tasks"] = True,
) -> float:
    """Δm: the mean of `relative_change` against single-task training, as a fraction (0.05 is 5 % better).

    Tasks without a relative change (their single-task score is 0 or unknown) are left out; NaN if none is left.
    Source: Maninis et al. 2019 (arXiv 1904.08918), with |single| so that negative returns keep the sign right.
    """
    change = relative_change(multi, single, higher_is_better)
    return float(masked_mean(change, ~np.isnan(change), 0))


def wilson_interval(successes: int, episodes: int, confidence: float = CONFIDENCE) -> Estimate:
    """A success rate with Wilson's interval over the EPISODES of one evaluation of one agent.

    It says how well these episodes pin down this agent's success rate; it says nothing about other seeds.
    Without episodes all three numbers are NaN. Raises ValueError if successes are not within 0 to episodes.
    """
    if not 0 <= successes <= episodes:
        raise ValueError(f"{successes} successes in {episodes} episodes; expected 0 <= successes <= episodes")
    if episodes == 0:
        return Estimate(math.nan, math.nan, math.nan)
    from scipy.stats import binomtest

    interval = binomtest(successes, episodes).proportion_ci(confidence_level=confidence, method="wilson")
    return Estimate(float(successes) / episodes, float(interval.low), float(interval.high))


def bootstrap_rows(
    columns: Float[np.ndarray, "columns rows"], statistic: Callable[[np.ndarray], np.ndarray]
) -> Estimate:
    """A statistic of sums over rows with its percentile interval over resampled rows; NaN where there is no row.

    `statistic` takes sums (columns, resamples) to values (resamples,).
    """
    rows, generator, drawn = columns.shape[1], np.random.default_rng(0), []
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic(columns.sum(1, keepdims=True))[0])
        size = max(1, min(RESAMPLES, _AT_A_TIME // rows))
        for begin in range(0, RESAMPLES, size):
            count = min(size, RESAMPLES - begin)
            draws = generator.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
            times = np.bincount(draws.ravel(), minlength=count * rows).reshape(count, rows)
            drawn.append(statistic(columns @ times.T))
        if not np.isfinite(value):
            return Estimate(np.nan, np.nan, np.nan)
        edges = np.nanquantile(np.concatenate(drawn), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(edges[0]), float(edges[1]))


def cells(estimate: Estimate) -> list[str]:
    """A value and its interval as a table shows them."""
    shown = [f"{x:.4f}" if abs(x) < 10 else f"{x:.4g}" for x in estimate]
    return [shown[0], f"{shown[1]} to {shown[2]}"] if estimate.has_interval else [shown[0], ""]
