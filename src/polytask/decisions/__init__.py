"""Predictors that feed a decision: the trainer for losses that know the task.

The names below are imported when they are first used, so that the command line's help costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytask.decisions.case import Case as Case
    from polytask.decisions.config import DecisionConfig as DecisionConfig
    from polytask.decisions.predictor import load as load
    from polytask.decisions.start import train as train

_HOME = {"Case": "case", "DecisionConfig": "config", "load": "predictor", "train": "start"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polytask.decisions' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polytask.decisions.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
