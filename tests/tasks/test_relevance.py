"""NAME=WEIGHT: what each task counts."""

import numpy as np
import pytest

from polytask.tasks.relevance import relevance, within

NAMES = ("gym/a", "gym/b", "gym/c")


def test_tasks_that_are_not_named_count_one():
    weights = relevance(("gym/c=1e-3", "gym/a=2"), NAMES, "--relevance")
    np.testing.assert_array_equal(weights, np.array([2, 1, 1e-3], np.float32))
    np.testing.assert_array_equal(relevance((), NAMES, "--relevance"), 1.0)


def test_a_name_may_hold_the_sign():
    assert relevance(("gym/a=b=3",), ("gym/a=b",), "--relevance") == [3]


@pytest.mark.parametrize("entry", ["gym/a", "gym/d=2", "gym/a=", "gym/a=0", "gym/a=-2", "gym/a=nan", "gym/a=inf"])
def test_what_is_no_weight_of_a_task_is_refused_by_its_flag(entry):
    with pytest.raises(ValueError, match="--relevance"):
        relevance((entry,), NAMES, "--relevance")


def test_a_group_keeps_what_is_about_its_tasks():
    entries = ("gym/c=3", "gym/a=2")
    assert within(entries, NAMES) == entries
    assert within(entries, ("gym/b", "gym/a")) == ("gym/a=2",)
    assert within((), NAMES) == ()
    np.testing.assert_array_equal(relevance(within(entries, ("gym/b",)), ("gym/b",), "--relevance"), 1.0)
