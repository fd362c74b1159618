"""The value of every set of tasks as a block of a grouping, as tables over bitmasks.

With TAG's score each task is served by its best group, so a grouping, overlapping or not, is a partition of the tasks
into blocks S, each with a group g that contains S; the members of g outside S (the helpers) are there for S alone. For
a given S and number of helpers m the best helpers are the m with the largest w_h = sum over t in S of affinity[h, t],
so that the value of a block,

    v(S) = max over m of [sum over s != t in S of affinity[s, t] + the m largest w_h] / (|S| - 1 + m),

takes a sort rather than a search over supersets, and the best overlapping grouping is a best partition.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

MOST_TASKS = 20  # 2^20 blocks: 8 MB a table, 160 MB with a budget
_CHUNK = 1 << 14


def additive(values: Float[np.ndarray, " tasks"]) -> Float[np.ndarray, " masks"]:
    """The sum of `values` over the members of each of the 2^tasks masks."""
    table = np.zeros(1 << len(values))
    for i, value in enumerate(values):
        table[1 << i : 2 << i] = table[: 1 << i] + value
    return table


def sizes(count: int) -> Int[np.ndarray, " masks"]:
    """The number of members of each mask."""
    return np.bitwise_count(np.arange(1 << count, dtype=np.uint32)).astype(np.int64)


def inner_sums(affinity: Float[np.ndarray, "tasks tasks"]) -> Float[np.ndarray, " masks"]:
    """For each mask the sum of the affinities between its members (the diagonal is zero)."""
    table = np.zeros(1 << len(affinity))
    for i in range(len(affinity)):
        both = additive(affinity[i, :i] + affinity[:i, i])
        table[1 << i : 2 << i] = table[: 1 << i] + both
    return table


def disjoint_values(affinity: Float[np.ndarray, "tasks tasks"], alone: float | None) -> Float[np.ndarray, " masks"]:
    """v(S) without helpers; -inf for the empty mask, `alone` (None: -inf) for single tasks."""
    members = sizes(len(affinity))
    values = inner_sums(affinity) / np.maximum(members - 1, 1)
    values[members == 1] = -np.inf if alone is None else alone
    values[0] = -np.inf
    return values


def members_of(masks: Int[np.ndarray, " some"], count: int) -> Bool[np.ndarray, "some tasks"]:
    """The masks as rows of booleans."""
    return (masks[:, None] >> np.arange(count)[None] & 1).astype(bool)


def helped_values(
    affinity: Float[np.ndarray, "tasks tasks"], masks: Int[np.ndarray, " some"], alone: float | None
) -> Float[np.ndarray, "some helpers"]:
    """The value of each block with its best 0, 1, ... tasks - 1 helpers; -inf where there are not so many."""
    inside = members_of(masks, len(affinity))
    share = inside.astype(np.float64)
    weights = np.where(inside, -np.inf, share @ affinity.T)
    ordered = -np.sort(-weights, axis=1)[:, : len(affinity) - 1]
    own = ((share @ affinity) * share).sum(axis=1)
    with np.errstate(invalid="ignore"):  # -inf stays -inf: there are no more helpers
        sums = own[:, None] + np.concatenate([np.zeros((len(masks), 1)), np.cumsum(ordered, axis=1)], axis=1)
    others = share.sum(axis=1)[:, None] - 1 + np.arange(len(affinity))[None]
    values = sums / np.maximum(others, 1)
    values[share.sum(axis=1) == 1, 0] = -np.inf if alone is None else alone
    values[share.sum(axis=1) == 0] = -np.inf
    return values


def all_helped_values(
    affinity: Float[np.ndarray, "tasks tasks"], alone: float | None, keep: bool
) -> Float[np.ndarray, "helpers masks"]:
    """`helped_values` of all masks; unless `keep`, only their maximum over the helpers, as a single row."""
    total = 1 << len(affinity)
    table = np.empty((len(affinity) if keep else 1, total))
    for start in range(0, total, _CHUNK):
        masks = np.arange(start, min(start + _CHUNK, total))
        values = helped_values(affinity, masks, alone)
        table[:, masks] = values.T if keep else values.max(axis=1)[None]
    return table


def with_helpers(affinity: Float[np.ndarray, "tasks tasks"], mask: int, helpers: int) -> tuple[int, ...]:
    """The group of a block and its best `helpers` helpers."""
    inside = members_of(np.array([mask]), len(affinity))[0]
    weights = np.where(inside, -np.inf, inside.astype(np.float64) @ affinity.T)
    best = np.argsort(-weights, kind="stable")[:helpers]
    return tuple(sorted([*map(int, np.flatnonzero(inside)), *map(int, best)]))
