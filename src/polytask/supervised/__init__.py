"""One model, many heads: the trainer for data rather than simulators.

The names below are imported when they are first used, so that the command line's help costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytask.supervised.config import OptimiserConfig as OptimiserConfig
    from polytask.supervised.config import RunConfig as RunConfig
    from polytask.supervised.config import SupervisedConfig as SupervisedConfig
    from polytask.supervised.config import TrunkConfig as TrunkConfig
    from polytask.supervised.fitting import Result as Result
    from polytask.supervised.fitting import fit as fit
    from polytask.supervised.fitting import fit_seeds as fit_seeds
    from polytask.supervised.fitting import fit_subsets as fit_subsets
    from polytask.supervised.predictor import Predictor as Predictor
    from polytask.supervised.predictor import load as load
    from polytask.supervised.problem import Problem as Problem
    from polytask.supervised.problem import Rows as Rows
    from polytask.supervised.problem import gather as gather
    from polytask.supervised.problem import make_problem as make_problem
    from polytask.supervised.problem import split as split
    from polytask.supervised.run import train as train
    from polytask.supervised.spec import HeadSpec as HeadSpec

_HOME = {
    "OptimiserConfig": "config",
    "SupervisedConfig": "config",
    "TrunkConfig": "config",
    "RunConfig": "config",
    "Result": "fitting",
    "fit": "fitting",
    "fit_seeds": "fitting",
    "fit_subsets": "fitting",
    "Predictor": "predictor",
    "load": "predictor",
    "Problem": "problem",
    "Rows": "problem",
    "gather": "problem",
    "make_problem": "problem",
    "split": "problem",
    "train": "run",
    "HeadSpec": "spec",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polytask.supervised' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polytask.supervised.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
