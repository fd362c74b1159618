"""Training from a configuration: a folder for each seed, and groups of tasks if asked for."""

from collections.abc import Mapping
from pathlib import Path

from polytask.hosts import places
from polytask.training import kinds
from polytask.training.config import RunConfig
from polytask.training.run import OnEvaluation
from polytask.training.run import run as run_trainer


def train(config: RunConfig, run: Path | str, on_evaluation: OnEvaluation | None = None) -> bool:
    """Trains in the folder `run`, going on from its newest intact checkpoint if it has one.

    `on_evaluation(run, record)` is called with each new line of evaluations.jsonl; if it returns True, training stops.
    Returns whether the training ended; False after Ctrl-C, with a checkpoint saved. Raises as `polytask.training.run`.
    """
    return train_seeds(config, {config.seed: Path(run)}, on_evaluation)


def train_seeds(config: RunConfig, runs: Mapping[int, Path], on_evaluation: OnEvaluation | None = None) -> bool:
    """Trains a run for each seed (`runs`: seed to folder) as one program; `config.seed` is not looked at.

    Each folder is a run like any other, which can go on alone: what it learns is what its seed learns alone, but for
    the order in which float32 numbers are summed. Returns and raises as `train`; also StorageError where the runs share
    no checkpoint.
    """
    runs = places(config, runs)
    return run_trainer(kinds.kind_for(config).make(config, runs), runs, on_evaluation)
