"""Trainings on tasks with images, dictionaries and discrete actions beside one another."""

import dataclasses

import numpy as np
import pytest

from polytask import load
from polytask.online import memory
from polytask.online.config import preset
from polytask.policies.video import _picture
from polytask.tasks import Choices, Image, TaskSet, TaskSpec
from polytask.tasks.spaces import size_of
from tests.small import AGENT, PLANE, command

GAME, ROBOT = "gym/tests.stepping.scenes:game", "gym/tests.stepping.scenes:robot"
SHORT = [
    *("--warmup-steps", "10", "--checkpoint-every", "20", "--eval-every", "20", "--eval-episodes", "1"),
    *("--log-every", "10", "--replay-capacity", "30", "--stack", "2", "--horizon", "5", "--agent.embedding-dim", "4"),
    *("--agent.encoder-width", "4", "--agent.encoder-multiplier", "0.25", "--agent.ensemble", "1"),
    *("--agent.critic-depth", "0", "--agent.actor-depth", "0"),
]
MIXED = [GAME, ROBOT, PLANE, *AGENT, *SHORT]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("mixed") / "whole"
    code, _, err = command("train", *MIXED, "--steps", "40", "--run", str(run))
    assert code == 0, err
    return run


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits(whole, tmp_path):
    parts = str(tmp_path / "parts")
    for steps in ("27", "40"):
        code, _, err = command("train", *MIXED, "--steps", steps, "--run", parts)
        assert code == 0, err
    assert command("diff", str(whole), parts)[0] == 0


@pytest.mark.slow
def test_the_replay_on_disk_gives_the_same_run(whole, tmp_path):
    run = str(tmp_path / "disk")
    assert command("train", *MIXED, "--steps", "40", "--run", run, "--replay-storage", "disk")[0] == 0
    assert command("diff", str(whole), run)[0] == 0


@pytest.mark.slow
def test_several_seeds_train_together(tmp_path):
    code, _, err = command("train", *MIXED, "--steps", "20", "--run", str(tmp_path), "--seeds", "2")
    assert code == 0, err


@pytest.mark.slow
def test_a_policy_takes_whole_stacks_and_dictionaries_and_gives_what_environments_take(whole):
    policy = load(whole)
    frames = np.zeros((8, 10, 4), np.uint8)
    chosen = policy.act(frames, GAME)
    assert (chosen.shape, chosen.dtype) == ((), np.int64)
    assert 0 <= chosen < 3
    assert policy.act(np.stack([frames] * 3), GAME).shape == (3,)
    robot = {"camera": np.zeros((8, 10, 6)), "joints": np.zeros(2), "wrist": np.zeros((8, 10, 2)), "place": [0, 1]}
    action = policy.act(robot, ROBOT)
    assert action.shape == (2,)
    assert (action >= [-1, 0]).all()
    assert (action <= [1, 4]).all()
    with pytest.raises(ValueError, match=r"\(N, 8, 10, 4\) \(whole stacks of frames\), not \(8, 10, 2\)"):
        policy.act(frames[..., :2], GAME)
    with pytest.raises(ValueError, match="is a dictionary of camera, joints, place, wrist"):
        policy.act(frames, ROBOT)
    with pytest.raises(ValueError, match="'joints' of an observation"):
        policy.act({**robot, "joints": np.zeros(3)}, ROBOT)


@pytest.mark.slow
def test_a_film_shows_the_newest_frame(whole):
    spec = load(whole).tasks.specs[0]
    stack = np.zeros((8, 10, 4), np.uint8)
    stack[..., 3] = 9
    picture = _picture(None, spec, stack)
    assert picture.shape == (8 * 24, 10 * 24, 3)
    assert (picture == [0, 9, 9]).all()  # the second of two planes


def test_a_million_frames_of_an_atari_game_take_less_than_eight_gigabytes():
    game = TaskSpec("a/game", "a", Image(84, 84, 1, 4), Choices((6,)), 27_000)
    config = dataclasses.replace(preset("cpu"), steps=1_000_000)
    needed, saved = memory.needs(config, TaskSet((game,)))
    assert 7.0e9 < needed < 8e9
    assert saved > needed
    on_disk, _ = memory.needs(dataclasses.replace(config, replay_storage="disk"), TaskSet((game,)))
    assert on_disk < 2e6


def test_sizes_are_shown_as_they_are():
    game = TaskSpec("a/game", "a", Image(84, 84, 1, 4), Choices((6, 2)), 10)
    assert (size_of(game.observation), size_of(game.action)) == ("84x84x4", "1 of 12")
