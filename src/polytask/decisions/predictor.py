"""A trained predictor to decide with: what `polytask.decisions.load` gives."""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx

from polytask.decisions.case import Case, make_modules
from polytask.decisions.training import keys_of
from polytask.losses.learner import State
from polytask.losses.taskmet import TaskMetOwn
from polytask.runs import checkpoint
from polytask.runs.folder import RunFolder
from polytask.training import kinds


class Trained(NamedTuple):
    """What a run has learned at `step`: a predictor of single rows, and a metric where it learned one, else None."""

    predictor: Any
    metric: Any
    step: int


def load(run: Path | str, case: Case) -> Trained:
    """What a run's newest intact checkpoint holds; `case` is the problem that it was trained on.

    Raises RunFolderError or CheckpointError if the folder holds no such run, no checkpoint, or a damaged one.
    """
    config = kinds.config_of(RunFolder(run).read_config())
    found = checkpoint.find(Path(run))
    modules = make_modules(case, config, keys_of(config.seed).learner)
    (predictor, metric), static = eqx.partition(modules, eqx.is_inexact_array)
    own = None if config.loss != "taskmet" else TaskMetOwn(metric, None, None, *(None,) * 3)  # pyright: ignore
    like = {"learner": State(predictor, own, None)}  # pyright: ignore
    saved, _ = checkpoint.restore(found.path, like, partial=True)
    learned = saved["learner"]
    return Trained(*eqx.combine((learned.parameters, learned.own and learned.own.metric), static), found.step)
