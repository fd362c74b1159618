"""Atari, MiniGrid and Procgen: their facts are EnvPool's, and every engine steps them alike."""

import numpy as np
import pytest

from polytask.stepping import make_stepper
from polytask.tasks import TaskOptions, UnknownTaskError, make_env, padding, procgen, resolve
from polytask.tasks.atari import ACTIONS, SCORES
from polytask.tasks.atari import envpool_id as atari_id
from polytask.tasks.minigrid import HORIZONS, MENTIONS, named_in
from polytask.tasks.pool import import_envpool

PONG = "atari/pong"
DOOR = "minigrid/DoorKey-5x5-v0"


def registered(suite):
    """EnvPool's ids of a suite, with what they are registered with."""
    import_envpool()
    from envpool.registration import registry

    return {name: arguments for name, (path, _, arguments) in registry.specs.items() if path == f"envpool.{suite}"}


def test_all_of_envpool_s_games_have_a_name():
    assert {atari_id(game) for game in ACTIONS} == set(registered("atari"))
    assert {procgen.envpool_id(task) for task in procgen.TASKS} == set(registered("procgen"))
    steps = {name: arguments["max_episode_steps"] for name, arguments in registered("minigrid").items()}
    assert {f"MiniGrid-{task}": horizon for task, horizon in HORIZONS.items()} == {
        name: horizon for name, horizon in steps.items() if name.startswith("MiniGrid-")
    }


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "name_of"), [("atari", atari_id), ("minigrid", "MiniGrid-{}".format)])
def test_actions_are_envpool_s(suite, name_of):
    envpool = import_envpool()
    tasks = ACTIONS if suite == "atari" else HORIZONS
    for spec in resolve([f"{suite}/{task}" for task in tasks]):
        assert envpool.make_spec(name_of(spec.task)).action_space.n == spec.choices, spec.name


def test_scores_are_those_of_57_games_from_random_to_human():
    assert len(SCORES) == len(resolve(["atari/57"])) == 57
    # In all of these a human tester does better than random play.
    assert all(low < high for low, high in SCORES.values())
    assert resolve([PONG]).specs[0].score_range == (-20.7, 14.6)
    assert resolve(["atari/tetris"]).specs[0].score_range is None
    assert len(resolve(["procgen/easy"])) == len(resolve(["procgen/hard"])) == 16


def test_the_standard_preprocessing_and_its_switches():
    spec = resolve([PONG]).specs[0]
    assert (spec.observation.shape, spec.horizon, spec.engine) == ((84, 84, 4), 27_000, "envpool")
    assert dict(spec.options) == {"frame_skip": 4, "sticky_actions": 0.25, "life_loss": False}
    other = resolve([PONG], TaskOptions(stack=2, frame_skip=2, frame_size=32, colour=True)).specs[0]
    assert (other.observation.shape, other.horizon) == ((32, 32, 6), 54_000)


def test_a_misspelt_game_is_answered_with_the_nearest():
    with pytest.raises(UnknownTaskError, match="atari/pong"):
        resolve(["atari/pnog"])
    with pytest.raises(UnknownTaskError, match="minigrid/DoorKey-5x5-v0"):
        resolve(["minigrid/doorkey-5x5"])


def rollout(names, engine, steps, options):
    tasks = resolve(names, options)
    stepper = make_stepper(tasks, engine, goal_seed=0)
    chosen = np.random.default_rng(0).integers([spec.choices for spec in tasks], size=(steps, len(tasks), 1))
    try:
        return stepper.reset(1), [stepper.step(row.astype(np.float32)) for row in chosen]
    finally:
        stepper.close()


def test_engines_agree_bit_for_bit_also_over_episodes_ends():
    options = TaskOptions(horizon=5, frame_size=21)
    first, results = rollout([PONG, DOOR], "envpool", 12, options)
    other, others = rollout([PONG, DOOR], "serial", 12, options)
    pairs = [(first, other), *[(a.observations, b.observations) for a, b in zip(results, others, strict=True)]]
    pairs += [(a.next_observations, b.next_observations) for a, b in zip(results, others, strict=True)]
    for one, another in pairs:
        for a, b in zip(padding.arrays(one), padding.arrays(another), strict=True):
            np.testing.assert_array_equal(a, b)
    ends = np.array([result.truncated for result in results])
    np.testing.assert_array_equal(ends, [result.truncated for result in others])
    assert ends[:, 0].nonzero()[0].tolist() == [4, 9]
    assert not any(result.terminated.any() for result in results)


def test_life_loss_ends_an_episode_and_is_off_by_default():
    def ends(life_loss):
        env = make_env(resolve(["atari/breakout"], TaskOptions(frame_size=7, life_loss=life_loss)).specs[0], 0, 0)
        env.reset()
        steps = (env.step(step % 2) for step in range(120))
        return sum(terminated for _, _, terminated, _, _ in steps)

    assert ends(True) > 0
    assert ends(False) == 0


def test_an_environment_starts_again_in_the_middle_of_an_episode_and_from_a_seed():
    env = make_env(resolve([PONG], TaskOptions(frame_size=21)).specs[0], 3, 0)
    first, _ = env.reset()
    moved = env.step(2)[0]
    env.reset()
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(moved, env.step(2)[0])


def test_a_grid_is_planes_and_a_mission_is_the_things_that_it_names():
    env = make_env(resolve([DOOR]).specs[0], 0, 0)
    seen = env.reset()[0]
    # Each cell has one thing, one colour and one state.
    np.testing.assert_array_equal(np.add.reduceat(seen["image"].astype(int), [0, 11, 17], axis=-1), 255)
    assert seen["direction"].sum() == 1
    assert not seen["mission"].any()
    mission = named_in(b"put the grey key near the red box\0\0").reshape(MENTIONS, -1)
    assert [row.nonzero()[0].tolist() for row in mission] == [[5, 6], [0, 8], []]
