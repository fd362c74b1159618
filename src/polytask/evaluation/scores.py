"""The one definition of a task's score: what curves, tables and aggregates over tasks are made of."""

from collections.abc import Sequence

import numpy as np

from polytask.tasks.spec import TaskSpec

# One number per episode; successes are 0/1 or booleans.
Episodes = Sequence[float | int | np.floating | np.integer | np.bool_] | np.ndarray


def has_score(spec: TaskSpec) -> bool:
    """Whether the task can be compared with others on the common scale from 0 to 1."""
    return spec.success != "none" or spec.score_range is not None


def score(spec: TaskSpec, returns: Episodes, successes: Episodes | None = None) -> float | None:
    """The score of one task over the episodes of one evaluation; 0 is worst (or random), 1 is best.

    A task with a success rule: the share of episodes with success at any step. Otherwise, with a score range
    (low, high): (mean return - low) / (high - low), not clipped, since an agent can be worse or better than the range.
    None where neither applies, or where what it would be computed from was not measured.
    Raises ValueError if the score range is empty.
    """
    if spec.success != "none":
        return float(np.asarray(successes, np.float64).mean()) if successes is not None and len(successes) else None
    if spec.score_range is None or not len(returns):
        return None
    low, high = spec.score_range
    if low == high:
        raise ValueError(
            f"the score range of '{spec.name}' is empty ({low} to {high}); give the returns that mean 0 and 1"
        )
    return (float(np.asarray(returns, np.float64).mean()) - low) / (high - low)
