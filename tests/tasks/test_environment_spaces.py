"""Environments of images, dictionaries and choices: which spaces their tasks have, and what goes in and out."""

import dataclasses

import numpy as np
import pytest

from polytask.agents.config import SACConfig
from polytask.agents.factory import make_agent
from polytask.tasks import Choices, Image, Named, TaskOptions, Vector, catalogue, make_env, resolve, spec_of
from polytask.tasks.adapter import TaskEnv
from tests.stepping import scenes

STACKED = TaskOptions(stack=4)


def spec_with(observation=scenes.NUMBERS, action=None):
    return spec_of("gym/scene", scenes.Scene(observation, action), TaskOptions())


def env_of(name):
    (spec,) = resolve([f"gym/scenes:{name}"])
    env = make_env(spec, seed=0, goal_seed=0)
    return env, env.reset()[0]


@pytest.mark.parametrize(
    ("name", "observation", "action"),
    [
        ("game", Image(8, 10, 2, 4), Choices((3,))),
        ("game_of_another_size", Image(8, 10, 1, 4), Choices((5,))),
        ("channels_first", Image(8, 10, 3, 4), Choices((3, 2))),
        ("grid", Image(10, 10, 4, 4), Choices((2, 2, 2))),
    ],
)
def test_images_and_choices_are_read_from_the_environment(name, observation, action):
    (spec,) = resolve([f"gym/scenes:{name}"], STACKED)
    assert (spec.observation, spec.action) == (observation, action)


def test_a_dictionary_with_an_image_keeps_the_names_of_its_parts():
    (spec,) = resolve(["gym/scenes:robot"], STACKED)
    places = [
        ("camera", Image(8, 10, 3, 4)),
        ("joints", Vector(2)),
        ("place", Vector(2)),
        ("wrist", Image(8, 10, 1, 4)),
    ]
    assert spec.observation == Named(tuple(places))
    env, first = env_of("robot")
    assert list(first) == [name for name, _ in places]
    np.testing.assert_array_equal(first["place"], [1.0, 0.0])
    assert env.observation_space.contains(first)


@pytest.mark.parametrize(
    ("name", "observation"),
    [
        ("bytes", Vector(8)),
        ("numbers of rank 3", Vector(192)),
        ("small numbers of rank 3", Vector(18)),
        ("floats", Image(8, 9, 3)),
        ("codes", Image(8, 9, 3)),
        ("dictionary", Vector(5)),
    ],
)
def test_only_what_looks_like_an_image_is_one(name, observation):
    assert spec_with(scenes.OBSERVATIONS[name]).observation == observation


def test_registered_environments_of_choices():
    cart, lake = resolve(["gym/CartPole-v1", "gym/FrozenLake-v1"])
    assert (cart.observation, cart.action) == (Vector(4), Choices((2,)))
    assert (lake.observation, lake.action) == (Vector(16), Choices((4,)))  # one-hot
    assert [spec.name for spec in catalogue("gym/CartPole-v1")] == ["gym/CartPole-v1"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("small", r"images of 6 x 80.*7 to 512.*ResizeObservation.*FlattenObservation"),
        ("large", r"images of 513 x 80.*7 to 512"),
        ("deep", r"deeper than in one dictionary.*gymnasium\.spaces\.Dict"),
        ("pair", r"deeper than in one dictionary.*gymnasium\.spaces\.Dict"),
        ("stacks", r"one frame at a time.*--task\.stack"),
        ("text", r"cannot be flattened.*TransformObservation"),
        ("mission", r"cannot be flattened: it holds text"),
        ("graph", r"cannot be flattened.*TransformObservation"),
        ("sequence", r"cannot be flattened.*TransformObservation"),
    ],
)
def test_observations_that_cannot_be_taken_say_what_to_do(name, text):
    with pytest.raises(ValueError, match=f"gym/scene.*{text}"):
        spec_with(scenes.OBSERVATIONS[name])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("one", "1 combinations"),
        ("many", r"1,056 combinations.*2 to 1,024.*Discrete of the combinations"),
        ("dictionary", "Discrete, MultiDiscrete or MultiBinary; wrap it"),
        ("tuple", "Discrete, MultiDiscrete or MultiBinary; wrap it"),
        ("unbounded", "RescaleAction"),
    ],
)
def test_actions_that_cannot_be_given_say_what_to_do(name, text):
    with pytest.raises(ValueError, match=f"gym/scene.*{text}"):
        spec_with(action=scenes.ACTIONS[name])


def test_frames_have_their_channels_last_whatever_the_environment_s():
    env, first = env_of("channels_first")
    np.testing.assert_array_equal(first, np.moveaxis(env.unwrapped._observe(env.unwrapped.observation_space), 0, -1))
    env, first = env_of("game_of_another_size")
    np.testing.assert_array_equal(first[..., 0], env.unwrapped._observe(env.unwrapped.observation_space))


@pytest.mark.parametrize(("name", "values"), [("floats", {0, 255}), ("codes", set(range(256)))])
def test_frames_are_bytes_of_the_whole_range(name, values):
    env = scenes.Scene(scenes.OBSERVATIONS[name])
    first, _ = TaskEnv(env, spec_with(scenes.OBSERVATIONS[name]), 0).reset()
    assert first.dtype == np.uint8
    assert set(first.ravel().tolist()) <= values
    assert first.max() == max(values) or name == "codes"


def test_a_grid_of_truths_is_black_and_white():
    env, first = env_of("grid")
    np.testing.assert_array_equal(first, 255 * env.unwrapped._observe(env.unwrapped.observation_space))


def test_a_frame_is_a_copy(monkeypatch):
    buffer = np.zeros((8, 10, 2), np.uint8)
    (spec,) = resolve(["gym/scenes:game"])
    monkeypatch.setattr(scenes.Scene, "_observe", lambda *_: buffer)
    first, _ = TaskEnv(scenes.game(), spec, 0).reset()
    buffer[:] = 9
    assert not first.any()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.zeros((8, 10, 3), np.uint8), r"image has shape \(8, 10, 3\).*\(8, 10, 2\)"),
        (np.full((8, 10, 2), 300), "values that are not from 0 to 255"),
        (np.full((8, 10, 2), np.nan), "values that are not from 0 to 255"),
        ("here", "a str, does not fit its observation_space"),
    ],
)
def test_an_image_that_does_not_fit_names_the_task(given, text, monkeypatch):
    (spec,) = resolve(["gym/scenes:game"])
    monkeypatch.setattr(scenes.Scene, "_observe", lambda *_: given)
    with pytest.raises(ValueError, match=f"gym/scenes:game.*{text}"):
        TaskEnv(scenes.game(), spec, 0).reset()


@pytest.mark.parametrize(
    ("name", "actions", "rewards"),
    [
        ("game", [0, np.int64(2)], [0, 2]),
        ("game_of_another_size", [0, 4], [-2, 2]),
        ("channels_first", [[0, 1], np.array([2, 0])], [1, 2]),
        ("grid", [[1, 0, 1]], [2]),
    ],
)
def test_the_environment_gets_its_own_choices(name, actions, rewards):
    env, _ = env_of(name)
    assert [env.step(action)[1] for action in actions] == rewards
    assert env.action_space.contains(env.action_space.sample())


def test_a_spec_of_other_spaces_than_its_environment_is_refused():
    (game,) = resolve(["gym/scenes:game"])
    for change in ({"observation": Image(8, 11, 2)}, {"observation": Vector(8)}, {"action": Choices((4,))}):
        with pytest.raises(ValueError, match=r"gym/scenes:game.*TaskSpec says"):
            TaskEnv(scenes.game(), dataclasses.replace(game, **change), 0)
    robot = Named((("camera", Image(8, 10, 3)), ("ear", Vector(2))))
    with pytest.raises(ValueError, match=r"TaskSpec names ear, but.*Dict"):
        TaskEnv(scenes.robot(), dataclasses.replace(resolve(["gym/scenes:robot"]).specs[0], observation=robot), 0)


def test_a_suite_s_spec_may_take_an_image_as_a_vector_and_leave_parts_out():
    (game, robot) = resolve(["gym/scenes:game", "gym/scenes:robot"])
    flat = TaskEnv(scenes.game(), dataclasses.replace(game, observation=Vector(160)), 0).reset()[0]
    np.testing.assert_array_equal(flat, TaskEnv(scenes.game(), game, 0).reset()[0].ravel())
    part = dataclasses.replace(robot, observation=Named((("wrist", Image(8, 10, 1)),)))
    assert list(TaskEnv(scenes.robot(), part, 0).reset()[0]) == ["wrist"]


def test_what_cannot_be_learned_is_refused():
    for task in ("gym/scenes:game", "gym/CartPole-v1"):
        with pytest.raises(ValueError, match=f"{task}' has images or choices: take --agent.kind brc"):
            make_agent(SACConfig(), resolve([task]))
