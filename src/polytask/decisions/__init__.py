"""Predictors that feed a decision: the trainer for losses that know the task.

The names below are imported when they are first used, so that the command line's help costs nothing.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.decisions.case import Case as Case
    from polytask.decisions.config import DecisionConfig as DecisionConfig
    from polytask.decisions.predictor import load as load
    from polytask.decisions.start import train as train

_HOME = {"Case": "case", "DecisionConfig": "config", "load": "predictor", "train": "start"}

__getattr__, __dir__ = exports(__name__, _HOME)
