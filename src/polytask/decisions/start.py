"""Training for decisions on a case that is at hand, rather than one by name."""

from collections.abc import Mapping
from pathlib import Path

from polytask.decisions.case import Case
from polytask.decisions.config import DecisionConfig
from polytask.decisions.kind import kind_of
from polytask.training.run import run as run_trainer


def train(config: DecisionConfig, case: Case, runs: Mapping[int, Path]) -> bool:
    """Trains a run for each seed (`runs`: seed to folder) as one program, going on from their checkpoints.

    `config.seed` is not looked at. Returns whether the last step was reached; False after Ctrl-C, with checkpoints
    saved. Raises SeedsStopped, after the other seeds have gone on to the end and everything is saved, where a seed
    stopped learning; ValueError for a loss or steps that do not fit; RunFolderError, CheckpointError; ImportError for a
    package that the case needs.
    """
    return run_trainer(kind_of(lambda _: case).make(config, runs), runs)
