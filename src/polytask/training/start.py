"""Training from a configuration: a folder for each seed, and groups of tasks if asked for."""

from collections.abc import Mapping
from pathlib import Path

from polytask.hosts import places
from polytask.training import kinds
from polytask.training.config import RunConfig
from polytask.training.run import run as run_trainer


def train(config: RunConfig, run: Path | str) -> bool:
    """Trains in the folder `run`, going on from its newest intact checkpoint if it has one.

    Returns whether the training ended; False after Ctrl-C, with a checkpoint saved. Raises as `polytask.training.run`.
    """
    return train_seeds(config, {config.seed: Path(run)})


def train_seeds(config: RunConfig, runs: Mapping[int, Path]) -> bool:
    """Trains a run for each seed (`runs`: seed to folder) as one program; `config.seed` is not looked at.

    Each folder is a run like any other, which can go on alone: what it learns is what its seed learns alone, but for
    the order in which float32 numbers are summed. Returns and raises as `train`; also StorageError where the runs share
    no checkpoint.
    """
    runs = places(config, runs)
    return run_trainer(kinds.kind_for(config).make(config, runs), runs)
