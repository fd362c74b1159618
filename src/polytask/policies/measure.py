"""The protocol of `polytask evaluate`: what is run, and how its episodes become numbers with intervals."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polytask import random
from polytask.evaluation.rollouts import Episodes, evaluate
from polytask.evaluation.scores import has_score, score
from polytask.evaluation.statistics import Estimate, stratified_bootstrap, task_mean, wilson_interval
from polytask.policies.policy import Policy, load
from polytask.runs.folder import video_file
from polytask.stepping import make_stepper
from polytask.tasks.spec import TaskSpec
from polytask.training.kinds import Measured, Options

if TYPE_CHECKING:
    from rich.table import Table


@dataclasses.dataclass(frozen=True)
class TaskEvaluation:
    """What the episodes of one task say; all intervals are 95 % over these episodes, not over training seeds.

    `success` has Wilson's interval and is None for a task without success; `returned` is the mean return, with a
    bootstrap interval; `score` is the normalised score (`polytask.evaluation.scores`), None where it has none.
    """

    name: str
    success: Estimate | None
    returned: Estimate
    score: Estimate | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An evaluation of one policy; `mean` is over the tasks that have a score, None without any."""

    step: int
    seed: int
    episodes: Episodes
    tasks: tuple[TaskEvaluation, ...]
    mean: Estimate | None


def evaluate_policy(policy: Policy, episodes: int, seed: int = 0) -> Evaluation:
    """Runs the policy's mode for `episodes` episodes of each task, in environments of its own.

    The tasks are those of the run, fixed goals included; the result depends on the policy and the seed alone.
    Raises ValueError if there are no episodes to run, and what `make_stepper` and stepping raise.
    """
    if episodes < 1:
        raise ValueError(f"an evaluation takes at least one episode of each task, not {episodes}")
    goal_seed = random.integer(policy.config.seed, "goals")
    stepper = make_stepper(policy.tasks, policy.config.engine, goal_seed=goal_seed)
    try:
        found = evaluate(policy.act_in_all, stepper, episodes, random.integer(seed, "polytask evaluate"))
    finally:
        stepper.close()
    return summarise(policy, found, seed)


def summarise(policy: Policy, episodes: Episodes, seed: int) -> Evaluation:
    """Numbers with intervals."""
    tasks = tuple(
        _task(spec, returns, successes)
        for spec, returns, successes in zip(policy.tasks, episodes.returns, episodes.successes, strict=True)
    )
    scored = [row for row, spec in enumerate(policy.tasks) if has_score(spec)]
    mean = None
    if scored:
        specs, returns, successes = policy.tasks.specs, episodes.returns, episodes.successes
        mean = _bootstrap(np.stack([_scores(specs[row], returns[row], successes[row]) for row in scored], axis=1))
    return Evaluation(policy.step, seed, episodes, tasks, mean)


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """What evaluation.json holds: the estimates, and every episode behind them."""
    episodes = evaluation.episodes
    return {
        "step": evaluation.step,
        "seed": evaluation.seed,
        "episodes": episodes.returns.shape[1],
        "mean_score": _plain(evaluation.mean),
        "task": {
            task.name: {
                "success": _plain(task.success),
                "return": _plain(task.returned),
                "score": _plain(task.score),
                "episodes": {
                    "return": episodes.returns[row].tolist(),
                    "length": episodes.lengths[row].tolist(),
                    **({"success": episodes.successes[row].astype(int).tolist()} if task.success else {}),
                },
            }
            for row, task in enumerate(evaluation.tasks)
        },
    }


def _task(spec: TaskSpec, returns: np.ndarray, successes: np.ndarray) -> TaskEvaluation:
    returned = _bootstrap(returns[:, None])
    if spec.success != "none":
        success = wilson_interval(int(successes.sum()), len(successes))
        return TaskEvaluation(spec.name, success, returned, success)
    normalised = _bootstrap(_scores(spec, returns, successes)[:, None]) if has_score(spec) else None
    return TaskEvaluation(spec.name, None, returned, normalised)


def _scores(spec: TaskSpec, returns: np.ndarray, successes: np.ndarray) -> np.ndarray:
    """The score of each episode."""
    return np.array([score(spec, [r], [s]) for r, s in zip(returns, successes, strict=True)], float)


def _bootstrap(values: np.ndarray) -> Estimate:
    return stratified_bootstrap(values, task_mean, rng=np.random.default_rng(0))


def _plain(estimate: Estimate | None) -> dict[str, float | None] | None:
    if estimate is None:
        return None
    return {name: value if np.isfinite(value) else None for name, value in estimate._asdict().items()}


def measured(run: Path, options: Options) -> Measured:
    """What `polytask evaluate` shows of an agent; with `video` an episode of each task is filmed afterwards."""
    from rich.console import Console

    policy = load(run)
    if options.video:  # find out what is missing before the long part
        from polytask.policies.video import prepare

        prepare(policy.tasks.specs)
    episodes = 10 if options.episodes is None else options.episodes
    seed = options.seed or 0
    with Console().status(f"{len(policy.tasks)} tasks, {episodes} episodes of each ..."):
        evaluation = evaluate_policy(policy, episodes, seed)
    after = (lambda: film(policy, run, policy.tasks.names, seed)) if options.video else None
    return Measured(_table(policy, evaluation), to_json(evaluation), after)


def film(policy: Policy, run: Path, tasks: Sequence[str], seed: int = 0) -> int:
    """A video of each of these tasks in the run's folder.

    One that cannot be filmed does not keep the others from it, but gives exit code 1.
    """
    from polytask.policies.video import VideoError, record_episode

    code = 0
    for task in tasks:
        out = video_file(run, task)
        try:
            returned, success = record_episode(policy, task, out, seed)
        except VideoError as error:
            print(f"warning: {error}", file=sys.stderr)
            code = 1
            continue
        outcome = f"return {returned:,.4g}" + (", success" if success else "")
        print(f"video   {out}  ({outcome})", flush=True)
    return code


def _table(policy: Policy, evaluation: Evaluation) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from polytask.evaluation.text import MISSING, bounds, number, score, short_names

    def interval(estimate: Estimate | None, show: Any = number) -> str:
        if estimate is None or not estimate.has_interval:
            return MISSING
        return f"{show(estimate.low)} to {show(estimate.high)}"

    count = evaluation.episodes.returns.shape[1]
    title = Text(f"step {evaluation.step:,}, {count} episodes of each task")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("task", overflow="fold")
    for heading in ("success", "95 %", "return", "95 %", "score"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, task in zip(short_names(policy.tasks.names), evaluation.tasks, strict=True):
        success = task.success
        table.add_row(
            Text(name),
            MISSING if success is None else score(success.value),
            MISSING if success is None else bounds(success),
            number(task.returned.value),
            interval(task.returned),
            MISSING if task.score is None else score(task.score.value),
        )
    if evaluation.mean is not None and len(evaluation.tasks) > 1:
        table.add_row(Text("mean score"), "", "", "", interval(evaluation.mean, score), score(evaluation.mean.value))
    return table
