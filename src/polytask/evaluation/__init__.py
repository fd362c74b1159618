"""The protocol of evaluation, scores, and statistics over tasks and seeds.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.evaluation.rollouts import evaluate as evaluate
    from polytask.evaluation.statistics import interquartile_mean as interquartile_mean
    from polytask.evaluation.statistics import stratified_bootstrap as stratified_bootstrap
    from polytask.evaluation.statistics import task_mean as task_mean

_HOME = {
    "evaluate": "rollouts",
    "interquartile_mean": "statistics",
    "stratified_bootstrap": "statistics",
    "task_mean": "statistics",
}

__getattr__, __dir__ = exports(__name__, _HOME)
