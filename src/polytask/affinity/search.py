"""The best grouping, exactly: branch and bound over blocks, with a bound by linear-programming duality.

A grouping into at most k groups with at most B places is a partition of the tasks into blocks (see `blocks`). Its
linear relaxation, solved by column generation over all blocks, gives prices: lambda_t of a task, mu of a group, nu of a
place. Whatever the prices,

    sum_t lambda_t + k mu + B nu,   mu >= max_S [v(S) - sum_{t in S} lambda_t - nu places(S)], nu >= 0

is at least the value of every grouping, and so is the same sum over the tasks, groups and places that a partial
grouping has left. The depth-first search cuts by that; what it returns is optimal, and the prices are its certificate.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog

from polytask.affinity import blocks
from polytask.affinity.scores import Groups, check_affinity, grouping_score, tidy

TOLERANCE = 1e-9  # relative to the largest affinity: groupings closer than this count as equal
_ROUNDS = 1000  # of column generation; the bound is valid after any number of them
_MOST_NODES = 2_000_000


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Groups of task indices, and how good they are known to be.

    - `score`: mean over tasks of each task's best group, in units of the affinity.
    - `bound`: no grouping that was allowed scores more.
    - `nodes`: how many partial groupings the search looked at.
    - `method`: who found it.
    """

    groups: Groups
    score: float
    bound: float
    nodes: int
    method: str

    @property
    def gap(self) -> float:
        """How much better, at most, another grouping is, in units of the affinity; 0 where this one is optimal."""
        return max(0.0, self.bound - self.score)

    @property
    def optimal(self) -> bool:
        """Whether the bound proves that no grouping is better."""
        return self.gap <= 1e-6 * max(abs(self.score), abs(self.bound), 1e-30)


class _Prices(NamedTuple):
    task: Float[np.ndarray, " tasks"]
    group: float
    place: float
    bound: float


class _Table:
    """Values of all blocks; with a budget by the number of helpers, since each of them takes a place."""

    def __init__(
        self, affinity: Float[np.ndarray, "tasks tasks"], overlap: bool, alone: float | None, budget: int | None
    ) -> None:
        self.affinity, self.alone, self.overlap = affinity, alone, overlap
        self.count, self.budget = len(affinity), budget if overlap else None
        self.sizes = blocks.sizes(self.count)
        if overlap:
            self.rows = blocks.all_helped_values(affinity, alone, keep=self.budget is not None)
        else:
            self.rows = blocks.disjoint_values(affinity, alone)[None]

    def reduced(self, task: Float[np.ndarray, " tasks"], place: float) -> Float[np.ndarray, " masks"]:
        """v(S) - sum of lambda - nu places(S), each block with the helpers that make it largest."""
        if self.budget is None:
            return self.rows[0] - blocks.additive(task)
        best = self.rows[0].copy()
        for helpers in range(1, len(self.rows)):
            np.maximum(best, self.rows[helpers] - place * helpers, out=best)
        return best - blocks.additive(task + place)

    def column(self, mask: int, place: float) -> tuple[float, int]:
        """Value and helpers of the block at this price of a place."""
        helpers = int((self.rows[:, mask] - place * np.arange(len(self.rows))).argmax())
        return float(self.rows[helpers, mask]), helpers

    def group(self, mask: int, helpers: int) -> tuple[int, ...]:
        """The members of a block's group."""
        if not self.overlap:
            return blocks.with_helpers(self.affinity, mask, 0)
        if self.budget is None:
            helpers = int(blocks.helped_values(self.affinity, np.array([mask]), self.alone)[0].argmax())
        return blocks.with_helpers(self.affinity, mask, helpers)


def best_grouping(
    affinity: Float[np.ndarray, "tasks tasks"],
    groups: int,
    *,
    overlap: bool = True,
    alone: float | None = None,
    budget: int | None = None,
) -> Grouping:
    """The best grouping into at most `groups` groups that cover all tasks, with a proof that it is the best.

    - `affinity`: [source][recipient]; the diagonal does not count.
    - `overlap`: whether a task may be in several groups; it is then served by its best one.
    - `alone`: the score of a task in a group of its own; None forbids such groups.
    - `budget`: the most places in all groups together, at least the number of tasks.

    Raises ValueError for an affinity with gaps, a number of groups below one, a budget that does not hold every task
    once, or more than 20 tasks (use `polytask.affinity.program.good_grouping`).
    """
    matrix = check_request(affinity, groups, budget)
    count = len(matrix)
    if count > blocks.MOST_TASKS:
        raise ValueError(
            f"the exact search takes at most {blocks.MOST_TASKS} tasks, not {count}; "
            f"use good_grouping, which bounds its gap"
        )
    scale = float(np.abs(matrix).max()) or 1.0
    table = _Table(matrix / scale, overlap, None if alone is None else alone / scale, budget)
    prices, start = _relax(table, groups)
    search = _Search(table, groups, prices)
    found = search.run(start)
    chosen = tidy(table.group(mask, helpers) for mask, helpers in found)
    score = grouping_score(matrix, chosen, alone)
    bound = score if search.nodes < _MOST_NODES else prices.bound * scale / count
    return Grouping(chosen, score, max(score, bound), search.nodes, "branch and bound")


def check_request(
    affinity: Float[np.ndarray, "tasks tasks"], groups: int, budget: int | None
) -> Float[np.ndarray, "tasks tasks"]:
    """The affinity as the searches take it. Raises ValueError, saying what to change."""
    matrix = check_affinity(affinity)
    for name, count in (("groups", groups), ("budget", budget)):
        if count is not None and not isinstance(count, int | np.integer):
            raise ValueError(f"{name} is a whole number, not {count!r}")
    if groups < 1:
        raise ValueError(f"there must be at least one group, not {groups}")
    if budget is not None and budget < len(matrix):
        raise ValueError(f"{len(matrix)} tasks take at least {len(matrix)} places; the budget is {budget}")
    return matrix


def _solve_master(
    columns: list[tuple[int, int]], values: list[float], count: int, groups: int, budget: int | None
) -> tuple[float, Float[np.ndarray, " tasks"], float]:
    """The linear programme over some columns: its value, and the prices of the tasks and of a place."""
    masks = np.array([mask for mask, _ in columns])
    inside = blocks.members_of(masks, count).T.astype(np.float64)
    limits, most = [np.ones(len(columns))], [float(groups)]
    if budget is not None:
        limits.append(inside.sum(axis=0) + np.array([helpers for _, helpers in columns]))
        most.append(float(budget))
    found = linprog(-np.array(values), A_ub=np.array(limits), b_ub=most, A_eq=inside, b_eq=np.ones(count))
    if found.status != 0:
        raise RuntimeError(f"the linear programme of the bound failed: {found.message}")
    place = max(0.0, -float(found.ineqlin.marginals[1])) if budget is not None else 0.0
    return -float(found.fun), -found.eqlin.marginals, place


def _best_by_task(reduced: Float[np.ndarray, " masks"], count: int) -> Int[np.ndarray, " tasks"]:
    """For each task the block with it that has the largest reduced value: diverse columns converge faster."""
    best = np.empty(count, np.int64)
    for t in range(count):
        view = reduced.reshape(-1, 2, 1 << t)[:, 1]
        high, low = np.unravel_index(int(view.argmax()), view.shape)
        best[t] = (int(high) << (t + 1)) | (1 << t) | int(low)
    return best


def _relax(table: _Table, groups: int) -> tuple[_Prices, list[tuple[int, int]]]:
    """Prices whose bound is the relaxation's, and the columns that were made on the way."""
    count, total = table.count, (1 << table.count) - 1
    pairs = [(1 << i) | (1 << j) for i in range(count) for j in range(i)]
    columns = dict.fromkeys([(total, 0), *((mask, 0) for mask in pairs)])
    best: _Prices | None = None
    for _ in range(_ROUNDS):
        listed = list(columns)
        values = [float(table.rows[min(h, len(table.rows) - 1), mask]) for mask, h in listed]
        value, task, place = _solve_master(listed, values, count, groups, table.budget)
        reduced = table.reduced(task, place)
        group = max(0.0, float(reduced.max()))
        bound = float(task.sum()) + groups * group + place * (table.budget or 0)
        if best is None or bound < best.bound:
            best = _Prices(task, group, place, bound)
        fresh = [(int(mask), table.column(int(mask), place)[1]) for mask in _best_by_task(reduced, count)]
        if bound - value <= TOLERANCE:
            break
        before = len(columns)
        columns |= dict.fromkeys(fresh)
        if len(columns) == before:
            break
    assert best is not None
    return best, list(columns)


class _Search:
    """Depth-first over blocks that contain the lowest uncovered task, cut by the prices."""

    def __init__(self, table: _Table, groups: int, prices: _Prices) -> None:
        self.table, self.groups, self.prices = table, groups, prices
        self.nodes = 0
        self.best = -np.inf
        self.found: list[tuple[int, int]] = []
        self._buckets: dict[int, tuple[np.ndarray, ...]] = {}
        self._price_of = blocks.additive(prices.task)

    def run(self, start: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The blocks (mask, helpers) of a best grouping; first among `start`, then among all that could be better."""
        self._descend_from(np.array([m for m, _ in start]), np.array([h for _, h in start]))
        self._descend_from(*self._worthwhile())
        return self.found

    def _worthwhile(self) -> tuple[Int[np.ndarray, " some"], Int[np.ndarray, " some"]]:
        """All blocks that a grouping better than the best one so far may hold."""
        needed = self.prices.group - (self.prices.bound - self.best) + TOLERANCE
        masks, helpers = [], []
        top = np.full(len(self._price_of), -np.inf)
        for h, row in enumerate(self.table.rows):
            cost = self.prices.place * (self.table.sizes + h)
            keep = np.flatnonzero((row > top) & (row - self._price_of - cost >= needed))
            masks.append(keep)
            helpers.append(np.full(len(keep), h))
            np.maximum(top, row, out=top)
        return np.concatenate(masks), np.concatenate(helpers)

    def _descend_from(self, masks: Int[np.ndarray, " some"], helpers: Int[np.ndarray, " some"]) -> None:
        values = self.table.rows[np.minimum(helpers, len(self.table.rows) - 1), masks]
        size = self.table.sizes[masks] + helpers
        reduced = values - self._price_of[masks] - self.prices.place * size
        order = np.argsort(-reduced, kind="stable")
        lowest = masks & -masks
        for t in range(self.table.count):
            own = order[lowest[order] == 1 << t]
            self._buckets[1 << t] = (masks[own], helpers[own], values[own], size[own], reduced[own])
        left = self.table.budget if self.table.budget is not None else 0
        self._descend((1 << self.table.count) - 1, self.groups, left, 0.0, [])

    def _descend(self, rest: int, groups: int, budget: int, value: float, chosen: list[tuple[int, int]]) -> None:
        self.nodes += 1
        if not rest:
            if value > self.best + TOLERANCE:
                self.best, self.found = value, chosen
            return
        if not groups or self.nodes >= _MOST_NODES:
            return
        masks, helpers, values, size, reduced = self._buckets[rest & -rest]
        # What remains after a block is worth at most its prices.
        bound = value + self._price_of[rest] + (groups - 1) * self.prices.group + self.prices.place * budget
        fits = (masks & ~rest == 0) & (reduced + bound > self.best + TOLERANCE)
        if groups == 1:
            fits &= masks == rest
        if self.table.budget is not None:
            after = rest.bit_count() - self.table.sizes[masks]
            fits &= size + after <= budget
        for i in np.flatnonzero(fits):
            if reduced[i] + bound <= self.best + TOLERANCE:
                break  # sorted: the others are no better
            mask = int(masks[i])
            left = budget - int(size[i]) if self.table.budget is not None else 0
            self._descend(rest & ~mask, groups - 1, left, value + float(values[i]), [*chosen, (mask, int(helpers[i]))])
