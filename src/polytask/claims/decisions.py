"""Five decision problems: decision quality by what was learned, and how it turns on the decision's temperature."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polytask.claims.base import Claim, Finding, Log, Row, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is missing for some problems stands last, so that each method keeps its colour.
NAMES = {"two-stage": "MSE", "dfl": "DFL", "taskmet": "TaskMet", "lodl": "LODL", "spo+": "SPO+"}
LINEAR = ("knapsack", "shortest path")
PROBLEMS = ("web advertising", "knapsack", "shortest path", "newsvendor", "portfolio")
SMOOTHED = ("web advertising", "knapsack", "shortest path")
FAST = ("newsvendor",)
SEEDS, SMOOTHED_SEEDS = 10, 5
"""Of the comparison, and of the temperatures that are not the usual one."""
GAP = "not obtained"
Result = Mapping[str, np.ndarray]


def measure(problem: str, method: str, seeds: int, temperatures: tuple[float, ...] | None = None) -> Result:
    """Decision quality, squared error and TaskMet's inner residual, by seed; `temperatures` are a first axis."""
    from polytask.losses import raise_failures
    from polytask.problems.decisions import compare

    found = compare(problem, method, seeds, temperatures)
    raise_failures(found.failure)
    figures = {"quality": found.quality.decision, "error": found.quality.squared_error, "residual": found.residual}
    return {name: np.asarray(values if temperatures else values[0]) for name, values in figures.items()}


def methods_of(problem: str, full: bool = True) -> tuple[str, ...]:
    """SPO+ only where the objective is linear in what is predicted; LODL, which is slow, in full only."""
    left_out = set() if problem in LINEAR else {"spo+"}
    if not full:
        left_out.add("lodl")
    return tuple(method for method in NAMES if method not in left_out)


def run(full: bool, output: Path, log: Log) -> Finding:
    """Every method on every problem; DFL and TaskMet at three temperatures where there is one."""
    from polytask.claims.intervals import over_seeds
    from polytask.claims.parts import Parts
    from polytask.problems.decisions import make_case

    seeds, problems, parts = (SEEDS if full else 2), (PROBLEMS if full else FAST), Parts(output, CLAIM.name)
    found: dict[tuple[str, str], Result] = {}
    warm: dict[tuple[str, str], Result] = {}
    rows, warm_rows = [], []
    grids = {problem: make_case(problem).temperatures for problem in problems}
    for problem, method in ((p, m) for p in problems for m in methods_of(p, full)):
        name = f"{problem}-{method}".replace(" ", "-")
        result = parts.get(name, {"seeds": seeds}, lambda p=problem, m=method: measure(p, m, seeds))
        found[problem, method] = result
        mean = over_seeds(result["quality"])
        published = GAP if problem in ("web advertising", "portfolio") else ""
        rows.append(Row(f"{problem}: {NAMES[method]}", mean.value, mean.low, mean.high, published, seeds))
        log(f"{problem}, {NAMES[method]}: {mean.value:.3f}")
        if problem not in SMOOTHED or method not in ("dfl", "taskmet"):
            continue
        few, others = min(seeds, SMOOTHED_SEEDS), grids[problem][1:]
        settings = {"seeds": few, "temperatures": others}
        other = parts.get(
            f"{name}-temperatures", settings, lambda p=problem, m=method, s=few, g=others: measure(p, m, s, g)
        )
        warm[problem, method] = {key: np.stack([result[key][:few], *other[key]]) for key in ("quality", "error")}
        for temperature, quality in zip(others, other["quality"], strict=True):
            mean = over_seeds(quality)
            text = f"{problem}: {NAMES[method]}, temperature {temperature:g} (for {grids[problem][0]:g})"
            warm_rows.append(Row(text, mean.value, mean.low, mean.high, "", few))
    parts.clear()
    tables: dict[str, Any] = {"temperatures": {name: list(grid) for name, grid in grids.items()}}
    for (problem, method), result in found.items():
        tables.setdefault(problem, {})[NAMES[method]] = {key: result[key] for key in ("quality", "error")}
    for (problem, method), result in warm.items():
        tables[problem][f"{NAMES[method]} by temperature"] = dict(result)
    said, verdict = judge(found, problems)
    return Finding((*rows, *warm_rows), verdict, said, figures(found, warm, grids), tables)


def judge(found: Mapping[tuple[str, str], Result], problems: tuple[str, ...]) -> tuple[tuple[str, ...], Verdict]:
    """TaskMet against squared error on each problem, seed by seed."""
    from polytask.claims.intervals import over_seeds

    better, worse, said = [], [], []
    for problem in problems:
        gain = over_seeds(found[problem, "taskmet"]["quality"] - found[problem, "two-stage"]["quality"])
        if gain.low is None or gain.high is None:
            continue
        said.append(f"{problem}: TaskMet minus MSE {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}).")
        better += [problem] * (gain.low > 0)
        worse += [problem] * (gain.high < 0)
    said += [
        f"TaskMet is clearly better than MSE on {len(better)} of {len(problems)} problems ({', '.join(better) or '-'}) "
        f"and clearly worse on {len(worse)} ({', '.join(worse) or '-'}), by paired 95 % intervals.",
        "The papers' numbers for web advertising and portfolio could not be obtained, nor could their data.",
    ]
    if better and not worse:
        return tuple(said), "holds" if len(better) == len(problems) else "mixed"
    return tuple(said), "does not hold" if worse and not better else "mixed" if worse else "no difference seen"


def figures(
    found: Mapping[tuple[str, str], Result],
    warm: Mapping[tuple[str, str], Result],
    grids: Mapping[str, tuple[float, ...]],
) -> "dict[str, Figure]":
    """Decision quality against prediction error for each problem, and against the temperature."""
    from polytask.claims.drawing import SERIES, draw, draw_temperatures
    from polytask.report.task_loss import draw_quality

    def fill(*axes: Any) -> None:
        for axis, problem in zip(axes, grids, strict=True):
            shown = {NAMES[m]: (r["error"], r["quality"]) for (own, m), r in found.items() if own == problem}
            draw_quality(axis, shown, SERIES)
            axis.set_title(problem, fontsize=11)

    drawn = {"quality": draw(fill, 3.6 * len(grids), 3.6, columns=len(grids))}
    smoothed = [problem for problem in grids if any(own == problem for own, _ in warm)]

    def fill_temperatures(*axes: Any) -> None:
        for axis, problem in zip(axes, smoothed, strict=True):
            shown = {NAMES[m]: (SERIES[i], warm[problem, m]["quality"]) for i, m in ((1, "dfl"), (2, "taskmet"))}
            seeds = next(iter(shown.values()))[1].shape[1]
            base = float(found[problem, "two-stage"]["quality"][:seeds].mean())
            draw_temperatures(axis, np.array(grids[problem]), shown, base)
            axis.set_title(problem, fontsize=11)
        axes[0].legend(frameon=False, fontsize=9)

    if smoothed:
        drawn["temperature"] = draw(fill_temperatures, 3.6 * len(smoothed), 3.4, columns=len(smoothed))
    return drawn


CLAIM = Claim(
    name="decisions",
    paper="TaskMet, arXiv 2312.05250; LODL, arXiv 2203.16067; PyEPO, arXiv 2206.14234",
    statement="Where a prediction feeds a decision, TaskMet decides better than a predictor fitted by squared error, "
    "and about as well as the rivals.",
    run=run,
    fast="the newsvendor by three methods, two seeds, a minute",
    full="five problems, ten seeds, three temperatures with five, 20 min",
)
