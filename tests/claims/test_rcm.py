"""The claim `rcm`: what is made of its numbers, and its tasks."""

import numpy as np
import pytest

from polytask.claims.base import check
from polytask.claims.rcm import OURS, WAYS, finding
from polytask.claims.small_images import COUNTS, TASKS, problems


@pytest.mark.parametrize(("ours", "verdict"), [(0.9, "no difference seen"), (0.8, "does not hold"), (0.95, "holds")])
def test_changes_are_from_a_network_for_each_task(ours, verdict):
    noise = 0.001 * np.arange(3)[None]
    ways = dict.fromkeys((*WAYS, "single", "one after another"), np.full((3, 3), 0.9) + noise)
    found = {"digits": {**ways, OURS: np.full((3, 3), ours) + noise, "forgetting": np.full((3, 3), 0.7)}}
    made = finding(found)
    check(made)
    by_label = {row.label: row.ours for row in made.rows}
    assert by_label[f"digits: {OURS}, change from single, %"] == pytest.approx(100 * (ours / 0.9 - 1), abs=0.1)
    assert by_label["digits: one after another, worst forgetting, points"] == pytest.approx(70)
    assert made.verdict == verdict


def test_the_first_task_knows_five_digits_and_parts_are_disjoint():
    found = problems("digits", 0)
    assert list(found) == ["first", *TASKS["digits"]]
    assert int(found["first"].train.targets[0].max()) == 4
    assert 0.4 < float(found["first"].train.present.mean()) < 0.6
    rows = [np.asarray(part.inputs) for part in (found["digit"].train, found["digit"].validation, found["digit"].test)]
    assert [len(part) for part in rows] == list(COUNTS)
    assert len(np.unique(np.concatenate(rows), axis=0)) > 0.99 * sum(COUNTS)
