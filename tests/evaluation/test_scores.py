import pytest

from polytask.evaluation.scores import has_score, score
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSpec


def spec(**facts) -> TaskSpec:
    return TaskSpec("gym/x", "gym", Vector(2), Box((-1.0,), (1.0,)), horizon=10, **facts)


def test_success_goes_before_returns():
    assert score(spec(success="any-step", score_range=(0.0, 1.0)), [900.0] * 4, [1, 0, 1, 1]) == 0.75


def test_return_is_normalised_by_its_range_and_not_clipped():
    task = spec(score_range=(-100.0, 100.0))
    assert score(task, [0.0, 100.0]) == pytest.approx(0.75)
    assert score(task, [-300.0]) == pytest.approx(-1.0)
    assert score(task, [300.0]) == pytest.approx(2.0)


def test_without_either_there_is_no_score():
    assert score(spec(), [1.0, 2.0]) is None
    assert not has_score(spec())


@pytest.mark.parametrize("successes", [None, []])
def test_a_success_task_without_successes_is_not_judged_by_its_return(successes):
    assert score(spec(success="any-step", score_range=(0.0, 1.0)), [1.0], successes) is None


def test_no_episodes_give_no_score():
    assert score(spec(score_range=(0.0, 1.0)), []) is None


def test_an_empty_range_is_an_error_that_names_the_task():
    with pytest.raises(ValueError, match="gym/x"):
        score(spec(score_range=(1.0, 1.0)), [1.0])
