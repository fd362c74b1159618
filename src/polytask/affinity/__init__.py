"""What tasks do to each other, and which belong together. Pure: no environment, logger or file.

The names below are imported when they are first used, so that grouping and reports do not wait for JAX.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.affinity.averages import Averages as Averages
    from polytask.affinity.gradients import joint_gradients as joint_gradients
    from polytask.affinity.gradients import separate_gradients as separate_gradients
    from polytask.affinity.gradients import set_gradients as set_gradients
    from polytask.affinity.gradients import similarities as similarities
    from polytask.affinity.lookahead import Effects as Effects
    from polytask.affinity.lookahead import curvature as curvature
    from polytask.affinity.lookahead import decrease as decrease
    from polytask.affinity.lookahead import effects as effects
    from polytask.affinity.lookahead import gain as gain
    from polytask.affinity.lookahead import transference as transference
    from polytask.affinity.program import good_grouping as good_grouping
    from polytask.affinity.scores import group_scores as group_scores
    from polytask.affinity.scores import grouping_score as grouping_score
    from polytask.affinity.search import Grouping as Grouping
    from polytask.affinity.search import best_grouping as best_grouping

_HOME = {
    "Averages": "averages",
    "joint_gradients": "gradients",
    "separate_gradients": "gradients",
    "set_gradients": "gradients",
    "similarities": "gradients",
    "Effects": "lookahead",
    "curvature": "lookahead",
    "decrease": "lookahead",
    "effects": "lookahead",
    "gain": "lookahead",
    "transference": "lookahead",
    "good_grouping": "program",
    "group_scores": "scores",
    "grouping_score": "scores",
    "Grouping": "search",
    "best_grouping": "search",
}

__getattr__, __dir__ = exports(__name__, _HOME)
