"""What a grouping of tasks is worth: TAG's score (Fifty et al. 2021, arXiv 2109.04617).

Affinities are matrices [source][recipient]: row s, column t says what training on s does to t. Groups are tuples of
task indices; they may overlap. The diagonal (what a task does to itself) never counts.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

Group = tuple[int, ...]
Groups = tuple[Group, ...]


def check_affinity(affinity: Float[np.ndarray, "tasks tasks"]) -> Float[np.ndarray, "tasks tasks"]:
    """A float64 copy with a zero diagonal. Raises ValueError for fewer than two tasks or pairs without a number."""
    matrix = np.array(affinity, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"affinity has shape {matrix.shape}; it is square, from task (row) to task (column)")
    np.fill_diagonal(matrix, 0.0)
    if len(matrix) < 2:
        raise ValueError(f"grouping takes at least two tasks, not {len(matrix)}")
    missing = np.argwhere(~np.isfinite(matrix))
    if missing.size:
        source, recipient = missing[0]
        raise ValueError(
            f"{len(missing)} of the affinities are not known, such as what task {source} does to task {recipient}; "
            f"measure longer, or leave out the tasks that were never measured"
        )
    return matrix


def group_scores(
    affinity: Float[np.ndarray, "tasks tasks"], groups: Iterable[Sequence[int]], alone: float | None = None
) -> Float[np.ndarray, "groups tasks"]:
    """Each member's score in each group: mean over the other members s of affinity[s, t]; -inf for who is not in it.

    - `alone`: the score of the member of a group of one; None for -inf, "never" (TAG's code has -1e6).
    """
    count = len(affinity)
    rows = []
    for group in groups:
        row = np.full(count, -np.inf)
        members = sorted(set(group))
        if len(members) == 1:
            row[members] = -np.inf if alone is None else alone
        elif members:
            inside = affinity[np.ix_(members, members)]
            row[members] = (inside.sum(axis=0) - np.diagonal(inside)) / (len(members) - 1)
        rows.append(row)
    return np.array(rows).reshape(-1, count)


def grouping_score(
    affinity: Float[np.ndarray, "tasks tasks"], groups: Iterable[Sequence[int]], alone: float | None = None
) -> float:
    """The mean over tasks of each task's best group; -inf if a task is in none, or only in a forbidden one."""
    scores = group_scores(check_affinity(affinity), groups, alone)
    return float(scores.max(axis=0, initial=-np.inf).mean())


def best_groups(
    affinity: Float[np.ndarray, "tasks tasks"], groups: Iterable[Sequence[int]], alone: float | None = None
) -> tuple[int, ...]:
    """For each task the index of the group that serves it: its best one, the first among equals."""
    return tuple(int(g) for g in group_scores(check_affinity(affinity), groups, alone).argmax(axis=0))


def places(groups: Iterable[Sequence[int]]) -> int:
    """The total size of the groups: what a budget limits, and what training them costs in units of one task."""
    return sum(len(set(group)) for group in groups)


def tidy(groups: Iterable[Iterable[int]]) -> Groups:
    """Sorted members, no group twice, in the order of the smallest members."""
    return tuple(sorted({tuple(sorted(set(map(int, group)))) for group in groups}))
