"""One model, many heads: the trainer for data rather than simulators.

The names below are imported when they are first used, so that the command line's help costs nothing.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.supervised.config import OptimiserConfig as OptimiserConfig
    from polytask.supervised.config import SupervisedConfig as SupervisedConfig
    from polytask.supervised.config import TrainConfig as TrainConfig
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
    from polytask.supervised.problem import make_image_problem as make_image_problem
    from polytask.supervised.problem import make_problem as make_problem
    from polytask.supervised.problem import split as split
    from polytask.supervised.scaling import Scales as Scales
    from polytask.supervised.scaling import fit_scales as fit_scales
    from polytask.supervised.scaling import standardised as standardised
    from polytask.supervised.spec import HeadSpec as HeadSpec
    from polytask.supervised.start import train as train
    from polytask.supervised.start import train_groups as train_groups

_HOME = {
    "OptimiserConfig": "config",
    "SupervisedConfig": "config",
    "TrunkConfig": "config",
    "TrainConfig": "config",
    "Result": "fitting",
    "fit": "fitting",
    "fit_seeds": "fitting",
    "fit_subsets": "fitting",
    "Predictor": "predictor",
    "load": "predictor",
    "Problem": "problem",
    "Rows": "problem",
    "gather": "problem",
    "make_image_problem": "problem",
    "make_problem": "problem",
    "split": "problem",
    "Scales": "scaling",
    "fit_scales": "scaling",
    "standardised": "scaling",
    "train": "start",
    "train_groups": "start",
    "HeadSpec": "spec",
}

__getattr__, __dir__ = exports(__name__, _HOME)
