"""Spaces as facts: they survive JSON, and a set of tasks has a place for each of their parts."""

import dataclasses
import json

import numpy as np
import pytest

from polytask.tasks import Box, Choices, Image, Named, TaskSet, TaskSpec, Vector
from polytask.tasks.spaces import space_from
from polytask.tasks.spec import spec_from

FRAME = Image(84, 84, 1, stack=4)
ROBOT = Named((("camera", Image(64, 64, 3)), ("joints", Vector(7)), ("wrist", Image(64, 64, 1)), ("force", Vector(2))))
SPACES = (Vector(3), FRAME, ROBOT, Box((-1.0, 0.0), (1.0, 2.0)), Choices((3, 2)))


def task(name: str, observation, action) -> TaskSpec:
    return TaskSpec(f"gym/{name}", "gym", observation, action, 100)


ROBOT_TASK = task("robot", ROBOT, Box((-1.0,) * 3, (1.0,) * 3))
GAME = task("game", FRAME, Choices((6,)))
GRID = task("grid", Image(64, 64, 5), Choices((3, 3)))
POLE = task("pole", Vector(4), Choices((2,)))
MIXED = TaskSet((ROBOT_TASK, GAME, GRID, POLE))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_survives_json(space):
    again = space_from(json.loads(json.dumps(dataclasses.asdict(space))))
    assert (again, hash(again)) == (space, hash(space))


@pytest.mark.parametrize("spec", MIXED.specs, ids=lambda spec: spec.name)
def test_a_task_survives_json(spec):
    assert spec_from(json.loads(json.dumps(dataclasses.asdict(spec)))) == spec


def test_facts_of_before_there_were_spaces_are_read():
    facts = {"name": "gym/a", "observation_dim": 3, "action_low": [-1.0], "action_high": [2.0], "choices": [["n", 1]]}
    spec = spec_from(facts)
    assert (spec.observation, spec.action, spec.options) == (Vector(3), Box((-1.0,), (2.0,)), (("n", 1),))


def test_what_is_no_space_is_refused():
    with pytest.raises(ValueError, match="has the fields"):
        space_from({"n": 3})


def test_images_of_one_size_share_a_place_with_the_most_channels():
    assert MIXED.images == ((64, 64, 5), (64, 64, 1), (84, 84, 4))
    assert [MIXED.places(row) for row in range(4)] == [(0, 1), (2,), (0,), ()]


def test_vectors_are_joined_and_padded():
    assert [spec.observation_dim for spec in MIXED] == [9, 0, 0, 4]
    assert MIXED.observation_dim == 9


def test_an_action_is_its_continuous_dimensions_and_the_chosen_index():
    assert (MIXED.action_dim, MIXED.choices, MIXED.action_width) == (3, 9, 4)
    np.testing.assert_array_equal(MIXED.choice_mask.sum(axis=1), [1, 6, 9, 2])
    np.testing.assert_array_equal(MIXED.action_mask.sum(axis=1), [3, 0, 0, 0])


def test_tasks_of_vectors_and_boxes_have_no_place_beside_them():
    alone = TaskSet((task("a", Vector(3), Box((-1.0,), (1.0,))),))
    assert (alone.images, alone.choices, alone.action_width) == ((), 1, 1)
