"""Problems: what a person hands over is checked, and what is missing stays missing."""

import jax
import numpy as np
import pytest

from polytask.supervised import HeadSpec, Rows, gather, make_problem, split
from polytask.supervised.spec import groups
from tests.supervised.small import TASKS, points, rows


def test_tasks_of_one_kind_and_size_stand_side_by_side():
    tasks = (HeadSpec("a", "binary"), HeadSpec("b", "classes", 3), HeadSpec("c", "binary"), HeadSpec("d", "binary", 2))
    found = groups(tasks)
    assert [(g.kind, g.outputs, g.tasks) for g in found] == [
        ("binary", 1, (0, 2)),
        ("classes", 3, (1,)),
        ("binary", 2, (3,)),
    ]
    assert [(g.start, g.stop) for g in found] == [(0, 2), (2, 5), (5, 7)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "binary"), "needs a name"),
        (("a", "classes", 1), "task 'a': classes needs outputs of at least 2"),
    ],
)
def test_a_task_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        HeadSpec(*arguments)


@pytest.mark.parametrize(
    ("task", "argument", "value", "said"),
    [
        ("far", "targets", np.zeros(7), r"task 'far': targets of train have shape \(7,\).*\(72,\) or \(72, 1\)"),
        ("place", "targets", np.zeros(72), r"task 'place': targets of train have shape \(72,\).*\(72, 2\)"),
        ("corner", "targets", np.full(72, 4), "task 'corner': targets of train go up to 4; 4 classes are 0 to 3"),
        ("corner", "targets", np.full(72, 0.5), "task 'corner'"),
        ("far", "targets", np.full(72, 2), "task 'far': targets of train go from 2 to 2; binary labels are 0 and 1"),
        ("far", "present", np.zeros(3, bool), r"task 'far': present of train has shape \(3,\), not \(72,\)"),
        ("near", "targets", np.zeros(72), "targets of train name near; the tasks are place, far, height, corner"),
        ("far", "present", np.zeros(72, bool), "no row of train has a label for far"),
    ],
)
def test_what_does_not_fit_is_refused_with_task_and_argument(task, argument, value, said):
    train, validation, test = split(rows())
    train = train._replace(**{argument: {**getattr(train, argument), task: value}})
    with pytest.raises(ValueError, match=said):
        make_problem("points", TASKS, train, validation, test)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (np.zeros(72), r"inputs of train have shape \(72,\); give at least one row"),
        (np.full((72, 3), np.nan), "inputs of train hold NaN"),
        (np.zeros((72, 5)), r"\(5,\) in train, \(3,\) in validation"),
    ],
)
def test_inputs_that_cannot_be_are_refused(inputs, said):
    train, validation, test = split(rows())
    with pytest.raises(ValueError, match=said):
        make_problem("points", TASKS, train._replace(inputs=inputs), validation, test)


def test_a_name_twice_is_refused():
    with pytest.raises(ValueError, match="named more than once: far"):
        make_problem("points", [TASKS[1], TASKS[1]], *split(rows()))


def test_missing_labels_are_marked_however_they_are_given():
    """By NaN, by -1, by a mask, and by leaving the task out."""
    inputs = np.zeros((3, 1))
    tasks = [HeadSpec("a", "regression"), HeadSpec("b", "classes", 2), HeadSpec("c", "binary"), HeadSpec("d", "binary")]
    targets = {"a": [1.0, np.nan, 2.0], "b": [0, 1, -1], "c": [np.inf, 0, 1], "d": [1, 1, 0]}
    train = Rows(inputs, targets, {"c": [False, True, True]})
    problem = make_problem("p", tasks, train, Rows(inputs, {"a": [0, 0, 0]}), Rows(inputs, {}))
    expected = [[True, True, False, True], [False, True, True, True], [True, False, True, True]]
    assert problem.train.present.tolist() == expected
    assert problem.validation.present.sum(0).tolist() == [3, 0, 0, 0]
    assert not problem.test.present.any()
    assert all(bool(np.isfinite(np.asarray(array)).all()) for array in problem.train.targets)


def test_a_split_takes_every_row_once_and_the_same_again():
    numbered = Rows(np.arange(101.0)[:, None], {"a": np.arange(101)}, {"a": np.arange(101) % 2 == 0})
    parts = split(numbered, seed=3)
    assert [len(part.inputs) for part in parts] == [61, 20, 20]
    assert sorted(np.concatenate([part.inputs[:, 0] for part in parts]).tolist()) == list(range(101))
    for part, again in zip(parts, split(numbered, seed=3), strict=True):
        np.testing.assert_array_equal(part.inputs, again.inputs)
        np.testing.assert_array_equal(part.inputs[:, 0], part.targets["a"])
        np.testing.assert_array_equal(part.inputs[:, 0] % 2 == 0, part.present["a"])


def test_batches_of_single_tasks_are_gathered():
    def batches():
        yield "a", np.ones((2, 3)), np.array([1.0, 2.0])
        yield "b", np.zeros((1, 3)), np.array([1])
        yield "a", np.ones((1, 3)), np.array([3.0])

    found = gather(batches())
    problem = make_problem("p", [HeadSpec("a", "regression"), HeadSpec("b", "binary")], found, found, found)
    assert problem.train.present.tolist() == [[True, False], [True, False], [False, True], [True, False]]
    assert found.targets["a"].tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("batches", "said"),
    [([], "no batch to gather"), ([("a", np.ones((2, 1)), np.ones(3))], "task 'a': a batch has 2 inputs and 3 labels")],
)
def test_batches_that_cannot_be_are_refused(batches, said):
    with pytest.raises(ValueError, match=said):
        gather(batches)


def test_only_some_tasks_keep_their_labels():
    problem = points()
    some = problem.only(["corner", "place"])
    assert some.names == ("place", "corner")
    np.testing.assert_array_equal(some.train.present, problem.train.present[:, np.array([0, 3])])
    np.testing.assert_array_equal(some.train.targets[1], problem.train.targets[3])
    assert jax.tree.structure(problem.only(problem.names)) == jax.tree.structure(problem)
    with pytest.raises(ValueError, match="points has no task 'near'; it has place, far"):
        problem.only(["near"])
