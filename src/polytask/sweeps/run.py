"""Runs a sweep to its end: what is done is skipped, what is not goes on, and what is hopeless may stop."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from polytask.runs.folder import RunFolder
from polytask.runs.records import mean_score
from polytask.sweeps.config import LOGS, SweepConfig, Trial
from polytask.sweeps.launch import Job, Launch
from polytask.sweeps.trial import DONE, STOPPED


def reached(run: Path, steps: int) -> bool:
    """Whether a run has trained for so many steps, or has ended before with nothing left to learn."""
    folder = RunFolder(run)
    if folder.newest_step >= steps:
        return True
    return any("stopped_at" in record and record["step"] >= steps for record in folder.read_evaluations()[-1:])


def score_at(run: Path, steps: int) -> float:
    """The mean score of the last evaluation up to a step; NaN where there is none."""
    found = [record for record in RunFolder(run).read_evaluations() if record["step"] <= steps]
    return mean_score(found[-1]) if found else math.nan


def rungs(sweep: SweepConfig, trials: Sequence[Trial]) -> list[int]:
    """The steps up to which all that are left train before some of them stop; the last are all steps.

    Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943) with one in `halving` configurations going on, and
    budgets rounded up to evaluations. Raises ValueError where there is nothing to judge by.
    """
    config = trials[0].config
    if not sweep.halving:
        return [config.steps]
    if len({(trial.config.steps, trial.config.eval_every) for trial in trials}) > 1:
        raise ValueError("--halving compares runs after equally many steps: leave --over steps and eval-every out")
    if not config.eval_every:
        raise ValueError("--halving judges by evaluations, and --eval-every 0 makes none; leave one of them out")
    found, left, budget = [config.steps], len({trial.configuration for trial in trials}), float(config.steps)
    while left > 1:
        left, budget = math.ceil(left / sweep.halving), budget / sweep.halving
        found.append(min(config.steps, max(1, math.ceil(budget / config.eval_every)) * config.eval_every))
    return sorted(set(found))


def survivors(trials: Sequence[Trial], folder: Path, steps: int, halving: int) -> list[Trial]:
    """The trials of the best of their configurations, by the mean score over seeds after so many steps.

    A configuration counts by its seeds that have a score; without one it stops first.
    """
    scores: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for trial in trials:
        scores.setdefault(trial.configuration, []).append(score_at(folder / trial.name, steps))

    def mean(configuration: tuple[tuple[str, str], ...]) -> float:
        known = [score for score in scores[configuration] if math.isfinite(score)]
        return sum(known) / len(known) if known else -math.inf

    best = sorted(scores, key=mean, reverse=True)[: math.ceil(len(scores) / halving)]
    return [trial for trial in trials if trial.configuration in best]


def run_sweep(
    sweep: SweepConfig,
    trials: Sequence[Trial],
    folder: Path,
    launch: Launch,
    ended: Callable[[str, str], None],
    tick: Callable[[], bool],
) -> dict[str, str]:
    """Trains the trials of a sweep in its folder; returns what came of those that were trained, by name.

    - `ended(name, outcome)` is called when a trial, or a part of it, ends: `DONE`, `STOPPED`, or what went wrong.
    - `tick()` is called about once a second; true where all should stop with a checkpoint.
    """
    left, before = list(trials), 0
    outcomes: dict[str, str] = {}
    for number, rung in enumerate(rungs(sweep, trials)):
        if number:
            left = survivors(left, folder, before, sweep.halving)
        before, jobs = rung, []
        for trial in left:
            steps = min(rung, trial.config.steps) if sweep.halving else trial.config.steps
            if outcomes.get(trial.name, DONE) == DONE and not reached(folder / trial.name, steps):
                config = dataclasses.replace(trial.config, steps=steps)
                jobs.append(Job(trial.name, config, folder / trial.name, folder / LOGS / f"{trial.name}.txt"))
        for job, outcome in launch(jobs, tick) if jobs else ():
            outcomes[job.name] = outcome
            ended(job.name, outcome)
        if STOPPED in outcomes.values():
            break
    return outcomes
