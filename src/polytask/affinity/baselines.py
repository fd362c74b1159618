"""Groupings to hold a search against: all together, each alone, at random, by similarity, and by exhaustion."""

import itertools
import math

import numpy as np
from jaxtyping import Float

from polytask.affinity.climb import Climb, to_groups
from polytask.affinity.scores import Groups, check_affinity, group_scores, grouping_score, tidy

_MOST_GROUPINGS = 5_000_000


def together(tasks: int) -> Groups:
    """One group of all tasks."""
    return (tuple(range(tasks)),)


def each_alone(tasks: int) -> Groups:
    """A group for each task."""
    return tuple((t,) for t in range(tasks))


def random_groupings(tasks: int, groups: int, draws: int, rng: np.random.Generator) -> list[Groups]:
    """Partitions into `groups` groups of nearly equal size."""
    climb = Climb(np.zeros((tasks, tasks)), overlap=False, alone=None, budget=None)
    return [to_groups(climb.random_start(rng, groups)) for _ in range(draws)]


def by_similarity(similarity: Float[np.ndarray, "tasks tasks"], groups: int, *, spectral: bool = False) -> Groups:
    """Clusters by a symmetric similarity such as the gradients' cosine (the mean of both directions is taken).

    Average linkage on 1 - similarity, or spectral clustering: k-means on the leading eigenvectors of the normalised
    similarity (Ng, Jordan and Weiss 2001), negative similarities counting as 0. At most `groups` clusters.
    """
    matrix = check_affinity(similarity)
    matrix = (matrix + matrix.T) / 2
    labels = _spectral(matrix, groups) if spectral else _linkage(matrix, groups)
    return tidy(np.flatnonzero(labels == label) for label in np.unique(labels))


def _linkage(similarity: np.ndarray, groups: int) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = similarity.max() - similarity
    np.fill_diagonal(distance, 0.0)
    return fcluster(linkage(squareform(distance, checks=False), "average"), groups, "maxclust")


def _spectral(similarity: np.ndarray, groups: int) -> np.ndarray:
    from scipy.cluster.vq import kmeans2

    weight = np.clip(similarity, 0.0, None)
    np.fill_diagonal(weight, weight.max() or 1.0)
    degree = np.sqrt(weight.sum(axis=1))
    _, vectors = np.linalg.eigh(weight / (degree[:, None] * degree[None]))
    leading = vectors[:, -groups:]
    leading = leading / np.maximum(np.linalg.norm(leading, axis=1, keepdims=True), 1e-12)
    return kmeans2(leading, groups, minit="++", rng=np.random.default_rng(0))[1]


def without_singles(groups: Groups, similarity: Float[np.ndarray, "tasks tasks"]) -> Groups:
    """Joins every group of one to the group whose members are the most similar to it on average."""
    matrix = (similarity + similarity.T) / 2
    current = [list(group) for group in groups]
    while len(current) > 1 and any(len(group) == 1 for group in current):
        single = next(group for group in current if len(group) == 1)
        current.remove(single)
        max(current, key=lambda group: matrix[single[0], group].mean()).extend(single)
    return tidy(current)


def score_table(affinity: Float[np.ndarray, "tasks tasks"], alone: float | None = None) -> Float[np.ndarray, "masks n"]:
    """The score of every task in each of the 2^tasks - 1 groups (mask - 1 is the row); -inf for who is not in it."""
    count = len(affinity)
    groups = [[t for t in range(count) if mask >> t & 1] for mask in range(1, 1 << count)]
    return group_scores(check_affinity(affinity), groups, alone)


def exhaustive(
    table: Float[np.ndarray, "masks n"], groups: int, *, overlap: bool = True, budget: int | None = None
) -> tuple[Groups, float]:
    """The best grouping and its mean score, by trying every one; an oracle if the table was measured by training.

    `table[mask - 1, t]` is what task t is worth in the group of that mask, higher is better, -inf for who is not in it.
    Raises ValueError if there would be more than five million groupings to try.
    """
    masks, count = table.shape
    tried = sum(math.comb(masks, k) for k in range(1, groups + 1))
    if tried > _MOST_GROUPINGS:
        raise ValueError(f"{tried:,} groupings are too many to try; use best_grouping, or fewer tasks or groups")
    size = (np.arange(1, masks + 1)[:, None] >> np.arange(count)[None] & 1).sum(axis=1)
    best, found = -np.inf, ()
    for k in range(1, groups + 1):
        for first in itertools.combinations(range(masks), k - 1):
            rows = list(first)
            last = np.arange(rows[-1] + 1 if rows else 0, masks)
            total = int(size[rows].sum()) + size[last]
            most = min(budget or count * groups, count * groups if overlap else count)
            scores = np.maximum(table[last], table[rows].max(axis=0, initial=-np.inf)[None]).mean(axis=1)
            scores[total > most] = -np.inf
            if scores.size and scores.max() > best:
                best, found = float(scores.max()), (*first, int(last[scores.argmax()]))
    return tidy([t for t in range(count) if row + 1 >> t & 1] for row in found), best


def compare(
    affinity: Float[np.ndarray, "tasks tasks"],
    groups: int,
    *,
    alone: float | None = None,
    cosine: Float[np.ndarray, "tasks tasks"] | None = None,
    rng: np.random.Generator,
    draws: int = 200,
) -> dict[str, float]:
    """The scores of the baselines with so many groups; "random" is a mean. Without `cosine` no clustering by it.

    Where no task may be alone, clusters of one join their most similar cluster, and random groups hold two at least.
    """
    count = len(affinity)
    most = groups if alone is not None else max(1, min(groups, count // 2))
    drawn = random_groupings(count, min(most, count), draws, rng)
    found = {
        "all together": grouping_score(affinity, together(count), alone),
        "each alone": grouping_score(affinity, each_alone(count), alone),
        f"random, mean of {draws}": float(np.mean([grouping_score(affinity, g, alone) for g in drawn])),
    }
    if cosine is not None:
        for name, spectral in (("by gradient cosine, linkage", False), ("by gradient cosine, spectral", True)):
            clusters = by_similarity(cosine, min(groups, count), spectral=spectral)
            clusters = without_singles(clusters, cosine) if alone is None else clusters
            found[name] = grouping_score(affinity, clusters, alone)
    return found
