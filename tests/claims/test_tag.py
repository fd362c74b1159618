"""TAG: the published groupings, and how a table of training runs is read."""

import numpy as np
import pytest

from polytask.claims import tag


def result(within: float, across: float) -> dict[str, np.ndarray]:
    """A problem in which a task loses 0.1 with each companion from the other cluster, with affinities as given."""
    cluster = np.arange(6) // 3
    same = cluster[:, None] == cluster[None]
    loss = np.array(
        [
            [1 + 0.1 * (subset & ~same[t]).sum() - 0.05 * (subset & same[t]).sum() for t in range(6)]
            for subset in tag.SUBSETS
        ]
    )
    mean = np.broadcast_to(np.where(same, within, across), (12, 6, 6)).astype(np.float32)
    averages = {"times": np.full((12, 6, 6), 2, np.int32), "mean": mean, "squares": np.ones_like(mean)}
    kept = {f"{m}-{name}": values for m in ("transference", "cosine") for name, values in averages.items()}
    return {"test": loss, "validation": loss, "best_step": np.array(300), **kept}


def test_the_published_affinities_give_the_published_groups():
    rows = tag.published_rows()
    assert [row.ours for row in rows[:2]] == pytest.approx([0.32170, 0.34867], abs=5e-6)
    assert len(rows) == 3


def test_affinities_that_know_the_clusters_lead_to_the_optimum():
    arms, groups = tag.compare(result(0.2, 0.1), 300)
    assert groups == ((0, 1, 2), (3, 4, 5))
    assert arms.tag == arms.planted == arms.searched == pytest.approx(arms.optimum)
    assert arms.tag == arms.cosine < arms.random < arms.together
    assert (arms.seen, arms.seen_early) == (1.0, 1.0)
    assert (arms.together, arms.alone) == pytest.approx((1.15, 0.95))


def test_affinities_that_are_upside_down_do_not():
    arms, groups = tag.compare(result(0.1, 0.2), 300)
    assert set(groups) != {(0, 1, 2), (3, 4, 5)}
    assert arms.tag > arms.optimum
    assert arms.seen == 0.0
    assert not tag.meets([arms])
    assert tag.verdict({tag.MAIN: [arms]}, {"to choose": 30.0}) == "does not hold"


def test_the_search_computes_many_times_as_much():
    cost = tag.costs([((0, 1, 2), (3, 4, 5))])
    steps = sum(80 + 3 * int(subset.sum()) for subset in tag.SUBSETS)
    assert cost["to choose"] == pytest.approx(steps / (98 + 13 * 46 / 10))
    assert cost["to choose and to train"] == pytest.approx(steps / (98 + 59.8 + 2 * 89))
