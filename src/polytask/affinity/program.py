"""A good grouping of many tasks, and how much better another one could be: mixed-integer programmes (HiGHS).

Where 2^tasks blocks are too many for `search`, its column generation continues with groups that a hill climb finds. The
best grouping among all groups met on the way is a mixed-integer programme. What no grouping can beat comes from another
one, which knows only the groups' sizes: in a group of m, a task gets at most the mean of its m - 1 best sources.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from polytask.affinity.climb import Climb, to_groups
from polytask.affinity.scores import grouping_score
from polytask.affinity.search import TOLERANCE, Grouping, check_request

_ROUNDS = 40
_STARTS = 24


class _Pool:
    """Columns: a group, whom of it it serves, what that is worth, and the places that it takes."""

    def __init__(self, affinity: Float[np.ndarray, "tasks tasks"], overlap: bool, alone: float | None) -> None:
        self.affinity, self.overlap = affinity, overlap
        self.alone = -np.inf if alone is None else alone
        self.columns: dict[tuple[bytes, bytes], float] = {}

    def scores(self, members: Bool[np.ndarray, "some tasks"]) -> Float[np.ndarray, "some tasks"]:
        """Each task's score in each group, 0 outside; a group of one scores `alone`."""
        share = members.astype(np.float64)
        size = share.sum(axis=1, keepdims=True)
        means = share @ self.affinity / np.maximum(size - 1, 1)
        return np.where(members, np.where(size == 1, self.alone, means), 0.0)

    def add(self, members: Bool[np.ndarray, "some tasks"], task: Float[np.ndarray, " tasks"]) -> int:
        """Adds groups, each serving whom it serves at a profit (without overlap all members); how many are new."""
        scores = self.scores(members)
        served = members & (scores > task[None]) if self.overlap else members
        before = len(self.columns)
        for group, whom, row in zip(members, served, scores, strict=True):
            if whom.any() and np.isfinite(row).all():
                self.columns[group.tobytes(), whom.tobytes()] = float(row[whom].sum())
        return len(self.columns) - before

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Groups and whom they serve as rows of booleans, and the values."""
        groups, served = (np.array([np.frombuffer(key[i], bool) for key in self.columns]) for i in range(2))
        return groups, served, np.array(list(self.columns.values()))

    def climb(
        self, members: Bool[np.ndarray, "some tasks"], task: Float[np.ndarray, " tasks"], place: float
    ) -> Bool[np.ndarray, "some tasks"]:
        """Changes one member of each group at a time, the best one, as long as the group's reduced value grows."""
        members = members.copy()
        flips = np.eye(len(task), dtype=bool)
        value = self._reduced(members, task, place)
        for _ in range(4 * len(task)):
            changed = members[:, None] ^ flips[None]
            found = self._reduced(changed.reshape(-1, len(task)), task, place).reshape(len(members), -1)
            best = found.argmax(axis=1)
            better = found.max(axis=1) > value + TOLERANCE
            if not better.any():
                break
            members[better] = changed[better, best[better]]
            value = np.maximum(value, found.max(axis=1))
        return members

    def _reduced(self, members: np.ndarray, task: np.ndarray, place: float) -> np.ndarray:
        profit = np.where(members, self.scores(members) - task[None], 0.0)
        profit = np.maximum(profit, 0.0) if self.overlap else profit
        size = members.sum(axis=1)
        return np.where(size > 0, profit.sum(axis=1) - place * size, -np.inf)


def good_grouping(
    affinity: Float[np.ndarray, "tasks tasks"],
    groups: int,
    *,
    overlap: bool = True,
    alone: float | None = None,
    budget: int | None = None,
    seconds: float = 10.0,
    seed: int = 0,
) -> Grouping:
    """A good grouping into at most `groups` groups that cover all tasks, and a bound on all others.

    Arguments and errors as of `polytask.affinity.search.best_grouping`, for any number of tasks; `seconds` limits each
    of the two mixed-integer programmes, `seed` draws where the climbs start. `nodes` counts those of both.
    """
    matrix = check_request(affinity, groups, budget)
    scale = float(np.abs(matrix).max()) or 1.0
    pool = _Pool(matrix / scale, overlap, None if alone is None else alone / scale)
    climb = Climb(pool.affinity, overlap, None if alone is None else alone / scale, budget)
    best, value = _climbs(pool, climb, groups, seed)
    _generate(pool, groups, budget)
    picked, nodes = _choose(pool, groups, budget, seconds)
    if picked is not None:
        best = max([(best, value), climb.run(picked)], key=lambda pair: pair[1])[0]
    chosen = to_groups(best)
    bound, more = _size_bound(pool, groups, budget, seconds)
    score = grouping_score(matrix, chosen, alone)
    return Grouping(chosen, score, max(score, bound * scale), nodes + more, "mixed-integer program")


def _limits(pool: _Pool, groups: int, budget: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Values, cover matrix (tasks, columns), and the limits of groups and places: rows, and what they allow."""
    members, served, values = pool.arrays()
    rows, most = [np.ones(len(values))], [float(groups)]
    if budget is not None:
        rows.append(members.sum(axis=1).astype(np.float64))
        most.append(float(budget))
    return values, served.T.astype(np.float64), np.array(rows), most


def _generate(pool: _Pool, groups: int, budget: int | None) -> None:
    count = len(pool.affinity)
    free = np.full(count, -np.inf)
    pairs = np.eye(count, dtype=bool)[:, None] | np.eye(count, dtype=bool)[None]
    pool.add(np.ones((1, count), bool), free)
    pool.add(pairs[np.triu_indices(count)], free)
    for _ in range(_ROUNDS):
        values, cover, rows, most = _limits(pool, groups, budget)
        found = linprog(-values, A_ub=rows, b_ub=most, A_eq=cover, b_eq=np.ones(count))
        if found.status != 0:
            raise RuntimeError(f"the linear programme over {len(values)} groups failed: {found.message}")
        task = -found.eqlin.marginals
        place = max(0.0, -float(found.ineqlin.marginals[1])) if budget is not None else 0.0
        # Climbs start at each task with its best companion at these prices, and at all tasks.
        companion = (pool.affinity + pool.affinity.T - task[None]) - np.where(np.eye(count, dtype=bool), np.inf, 0.0)
        starts = np.eye(count, dtype=bool) | np.eye(count, dtype=bool)[companion.argmax(axis=1)]
        if not pool.add(pool.climb(np.concatenate([starts, np.ones((1, count), bool)]), task, place), task):
            return


def _climbs(pool: _Pool, climb: Climb, groups: int, seed: int) -> tuple[Bool[np.ndarray, "groups tasks"], float]:
    """Local optima from random starts, into the pool; the best one and its total score."""
    rng = np.random.default_rng(seed)
    count = len(pool.affinity)
    # Pairs at least, where nobody may be alone; fewer groups than allowed may be better.
    most = min(groups, count // 2 if np.isinf(pool.alone) else count)
    # Disjoint groups first, also where overlap is allowed: their climb knows swaps, and goes further.
    apart = dataclasses.replace(climb, overlap=False)
    found = [climb.run(np.ones((1, count), bool))]
    for start in range(_STARTS):
        found.append(climb.run(apart.run(climb.random_start(rng, max(1, most - start % 3)))[0]))
    for members, _ in found:
        pool.add(members[members.any(axis=1)], np.full(count, -np.inf))
    return max(found, key=lambda pair: pair[1])


def _choose(
    pool: _Pool, groups: int, budget: int | None, seconds: float
) -> tuple[Bool[np.ndarray, "groups tasks"] | None, int]:
    """The best grouping among the columns of the pool, if there was time for one; and the nodes it took."""
    values, cover, rows, most = _limits(pool, groups, budget)
    found = milp(
        -values,
        integrality=np.ones(len(values)),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(csr_array(cover), 1, 1), LinearConstraint(rows, -np.inf, most)],
        options={"time_limit": seconds},
    )
    return None if found.x is None else pool.arrays()[0][found.x > 0.5], int(found.mip_node_count or 0)


def _size_bound(pool: _Pool, groups: int, budget: int | None, seconds: float) -> tuple[float, int]:
    """At least the score of every grouping: the best sizes, if each task could choose its companions for itself."""
    count = len(pool.affinity)
    # Without overlap only the sum over a group counts, so that both directions of a pair may be shared evenly.
    affinity = pool.affinity if pool.overlap else (pool.affinity + pool.affinity.T) / 2
    sources = affinity + np.where(np.eye(count, dtype=bool), -np.inf, 0.0)
    ordered = -np.sort(-sources, axis=0)[: count - 1]
    most = np.cumsum(ordered, axis=0) / np.arange(1, count)[:, None]
    values = np.concatenate([np.full((1, count), max(pool.alone, -1e6)), most])  # [size - 1, task]
    size = np.arange(1, count + 1)
    # Variables: share of task t in groups of size m, by size then task; then the number of groups of each size.
    each = csr_array(np.tile(np.eye(count), (1, count + 1)) * np.repeat([1.0, 0.0], [count**2, count])[None])
    filled = csr_array(np.concatenate([np.kron(np.eye(count), np.ones(count)), -np.diag(size).astype(float)], axis=1))
    total = np.concatenate([np.zeros((2, count**2)), np.stack([np.ones(count), size.astype(float)])], axis=1)
    most: Any = np.array([groups, np.inf if budget is None else budget])
    upper: Any = np.repeat([1.0, float(groups)], [count**2, count])
    found = milp(
        -np.concatenate([values.ravel(), np.zeros(count)]),
        integrality=np.repeat([0, 1], [count**2, count]),
        bounds=Bounds(0, upper),
        constraints=[
            LinearConstraint(each, 1, 1),
            LinearConstraint(filled, -np.inf if pool.overlap else 0, 0),
            LinearConstraint(total, -np.inf, most),
        ],
        options={"time_limit": seconds},
    )
    bound = -found.mip_dual_bound if found.mip_dual_bound is not None else float(values.max(axis=0).sum())
    return bound / count, int(found.mip_node_count or 0)
