"""Supervised training of a problem that is at hand, rather than one by name."""

from collections.abc import Sequence
from pathlib import Path

from polytask.supervised.config import TrainConfig
from polytask.supervised.kind import kind_of
from polytask.supervised.problem import Problem
from polytask.training import groups as grouping
from polytask.training.groups import TaskGroup
from polytask.training.run import OnEvaluation
from polytask.training.run import run as run_trainer


def train(config: TrainConfig, problem: Problem, run: Path | str, on_evaluation: OnEvaluation | None = None) -> bool:
    """Trains in the folder `run`, going on from its newest intact checkpoint if it has one.

    `on_evaluation(run, record)` is called with each new line of evaluations.jsonl; if it returns True, training stops.
    Returns whether the training ended; False after Ctrl-C, with a checkpoint saved. Raises RunFolderError (also if the
    folder's run had other data), CheckpointError, ValueError for a combiner or a task that is unknown, and Diverged (a
    FloatingPointError), naming the tasks, if a loss is not finite.
    """
    runs = {config.seed: Path(run)}
    return run_trainer(kind_of(lambda _: problem).make(config, runs), runs, on_evaluation)


def train_groups(config: TrainConfig, problem: Problem, groups: Sequence[TaskGroup], run: Path | str) -> bool:
    """One model for each group of tasks, as `polytask.training.groups.train_groups` trains them."""
    return grouping.train_groups(config, groups, {config.seed: Path(run)}, kind_of(lambda _: problem))
