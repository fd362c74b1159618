"""What every engine promises, seen from outside."""

import dataclasses
import itertools

import numpy as np
import pytest

from polytask.stepping import make_stepper
from polytask.tasks import TaskOptions, resolve
from polytask.tasks.spaces import Box, Vector

ENGINES = ("serial", "process")
PROBES = ("gym/probes:counter", "gym/probes:terminal", "gym/Pendulum-v1")


def actions(tasks, steps):
    """Every task's actions depend on its name alone, not on the set it is in."""
    drawn = np.zeros((steps, len(tasks), tasks.action_dim), np.float32)
    for row, spec in enumerate(tasks):
        generator = np.random.default_rng(list(spec.name.encode()))
        drawn[:, row, : spec.action_dim] = generator.uniform(-1, 1, (steps, spec.action_dim))
    return drawn


def rollout(names, engine, steps, seed=5, goal_seed=0, options=None):
    """The first observations and the step results."""
    tasks = resolve(names, options or TaskOptions())
    stepper = make_stepper(tasks, engine, goal_seed=goal_seed)
    try:
        first = stepper.reset(seed)
        return first, [stepper.step(row) for row in actions(tasks, steps)]
    finally:
        stepper.close()


def same(one, other):
    first, results = one
    other_first, other_results = other
    np.testing.assert_array_equal(first, other_first)
    for result, other_result in zip(results, other_results, strict=True):
        for array, other_array in zip(result, other_result, strict=True):
            np.testing.assert_array_equal(array, other_array)


@pytest.mark.parametrize("engine", ENGINES)
def test_transitions_keep_the_true_last_observation_apart_from_the_reset(engine):
    tasks = resolve(PROBES)
    stepper = make_stepper(tasks, engine, goal_seed=0)
    first = stepper.reset(3)
    assert first.shape == (3, 3)
    assert first.dtype == np.float32
    draws = []
    for step in range(1, 11):
        result = stepper.step(np.zeros((3, 2), np.float32))
        length = 5
        place = (step - 1) % length + 1
        # Rescaled to [0, 4], a zero is 2; the counter observes the action.
        np.testing.assert_array_equal(result.next_observations[:2, :2], [[place, 2.0]] * 2)
        ended = place == length
        expected = [[0.0, 0.0]] * 2 if ended else [[place, 2.0]] * 2
        np.testing.assert_array_equal(result.observations[:2, :2], expected)
        assert result.truncated[0] == ended
        assert not result.terminated[0]
        assert result.terminated[1] == ended
        np.testing.assert_array_equal(result.success[:2], [place == 2] * 2)
        np.testing.assert_array_equal(result.rewards[:2], [2.0, 2.0])
        assert not result.restarted.any()
        draws.append(result.observations[:2, 2])
    stepper.close()
    assert (draws[3] != draws[4]).all()  # a new episode, a new draw
    assert draws[0][0] != draws[0][1]  # each task has its own


@pytest.mark.parametrize("engine", ENGINES)
def test_horizon_of_the_spec_truncates(engine):
    _, results = rollout(["gym/probes:endless"], engine, 9)
    assert [bool(r.truncated[0]) for r in results] == [False] * 3 + [True] + [False] * 3 + [True, False]
    assert not any(r.terminated[0] for r in results)


@pytest.mark.parametrize("engine", ENGINES)
def test_padding_is_zero_and_returned_arrays_are_never_overwritten(engine):
    tasks = resolve(["gym/Pendulum-v1", "gym/probes:Goal"])
    stepper = make_stepper(tasks, engine, goal_seed=0)
    kept = stepper.reset(0)
    assert kept.shape == (2, 7)
    copies = [kept.copy()]
    results = []
    for row in actions(tasks, 6):
        results.append(stepper.step(row))
        copies.append(results[-1].observations.copy())
        assert (results[-1].observations[0, 3:] == 0).all()
        assert (results[-1].next_observations[0, 3:] == 0).all()
    for result, copy in zip(results, copies[1:], strict=True):
        np.testing.assert_array_equal(result.observations, copy)
    np.testing.assert_array_equal(kept, copies[0])
    stepper.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_padded_action_dimensions_are_ignored(engine):
    tasks = resolve(["gym/Pendulum-v1", "gym/probes:counter"])
    outcomes = []
    for padding in (0.0, 0.7):
        stepper = make_stepper(tasks, engine, goal_seed=0)
        stepper.reset(0)
        outcomes.append(stepper.step(np.array([[0.3, padding], [0.1, 0.2]], np.float32)))
        stepper.close()
    np.testing.assert_array_equal(outcomes[0].next_observations, outcomes[1].next_observations)


def test_actions_are_rescaled_to_the_bounds_and_clipped():
    tasks = resolve(["gym/probes:counter"])  # bounds (-1, 0) to (1, 4)
    stepper = make_stepper(tasks, goal_seed=0)
    stepper.reset(0)
    seen = [stepper.step(np.full((1, 2), a, np.float32)).next_observations[0, 1] for a in (-1.0, -0.5, 1.0, 1.5)]
    np.testing.assert_array_equal(seen, [0.0, 1.0, 4.0, 4.0])


def test_engines_agree_bit_for_bit():
    same(rollout(PROBES, "serial", 20), rollout(PROBES, "process", 20))


@pytest.mark.parametrize("engine", ENGINES)
def test_stream_repeats_from_its_seed_and_reset_begins_it_anew(engine):
    same(rollout(PROBES, engine, 12), rollout(PROBES, engine, 12))
    tasks = resolve(PROBES)
    stepper = make_stepper(tasks, engine, goal_seed=0)
    drawn = actions(tasks, 12)
    streams = []
    for seed in (1, 2, 1):
        first = stepper.reset(seed)
        streams.append((first, [stepper.step(row) for row in drawn]))
    stepper.close()
    same(streams[0], streams[2])
    assert (streams[0][0] != streams[1][0]).any()


@pytest.mark.parametrize("names", [PROBES, ("metaworld/reach-v3", "dmc/cartpole-swingup", "gym/probes:counter")])
def test_a_task_does_not_depend_on_the_others_nor_on_their_order(names):
    alone, results_alone = rollout(names[:1], "auto", 8)
    width = alone.shape[1]
    for order in itertools.islice(itertools.permutations(names), 2, 5):
        first, results = rollout(order, "auto", 8)
        row = order.index(names[0])
        np.testing.assert_array_equal(first[row, :width], alone[0])
        for result, result_alone in zip(results, results_alone, strict=True):
            np.testing.assert_array_equal(result.observations[row, :width], result_alone.observations[0])
            assert result.rewards[row] == result_alone.rewards[0]


def test_mixed_engines_answer_in_task_order():
    names = ["gym/probes:counter", "metaworld/reach-v3", "gym/Pendulum-v1", "dmc/cartpole-swingup"]
    tasks = resolve(names)
    assert [spec.engine for spec in tasks] == ["serial", "envpool", "serial", "envpool"]
    first, results = rollout(names, "auto", 3)
    assert [np.flatnonzero(row)[-1] + 1 for row in results[0].next_observations] == [3, 39, 3, 5]
    assert (first[1, 36:39] == results[0].next_observations[1, 36:39]).all()  # the goal, in sight


def test_envpool_episode_boundary_and_goals():
    _, results = rollout(["metaworld/reach-v3", "dmc/cheetah-run"], "envpool", 9, options=TaskOptions(horizon=4))
    assert [bool(r.truncated.all()) for r in results] == [False] * 3 + [True] + [False] * 3 + [True, False]
    assert not any(r.terminated.any() for r in results)
    goals = [r.observations[0, 36:39] for r in results]
    np.testing.assert_array_equal(goals[0], results[3].next_observations[0, 36:39])
    assert (goals[2] != goals[3]).any()
    np.testing.assert_array_equal(goals[3], goals[4])


def test_envpool_repeats_from_its_seed():
    names = ["metaworld/reach-v3", "metaworld/push-v3", "dmc/walker-walk"]
    options = TaskOptions(horizon=6)
    same(rollout(names, "envpool", 15, options=options), rollout(names, "envpool", 15, options=options))


def test_fixed_goals_are_the_same_in_every_episode_and_from_every_seed():
    options = TaskOptions(horizon=3, goals="fixed")
    name = ["metaworld/push-v3"]
    first, results = rollout(name, "envpool", 7, seed=1, goal_seed=9, options=options)
    for step in (2, 5):
        assert results[step].truncated[0]
        np.testing.assert_array_equal(results[step].observations, first)
    np.testing.assert_array_equal(rollout(name, "envpool", 1, seed=2, goal_seed=9, options=options)[0], first)
    assert (rollout(name, "envpool", 1, seed=1, goal_seed=8, options=options)[0] != first).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_action_shapes_and_values_are_refused(engine):
    tasks = resolve(PROBES)
    stepper = make_stepper(tasks, engine, goal_seed=0)
    stepper.reset(0)
    with pytest.raises(ValueError, match=r"shape \(3, 2\), not \(3, 1\)"):
        stepper.send(np.zeros((3, 1), np.float32))
    bad = np.zeros((3, 2), np.float32)
    bad[1, 0] = np.nan
    with pytest.raises(ValueError, match="not finite for: gym/probes:terminal"):
        stepper.send(bad)
    stepper.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_spec_that_does_not_fit_its_environment_names_task_and_shapes(engine):
    tasks = resolve(["gym/probes:counter"])
    wrong = dataclasses.replace(tasks, specs=(dataclasses.replace(tasks.specs[0], observation=Vector(5)),))
    stepper = make_stepper(wrong, engine, goal_seed=0)
    with pytest.raises(Exception, match=r"gym/probes:counter.*observation.*\(3,\).*\(5,\)"):
        stepper.reset(0)
    stepper.close()
    wrong = dataclasses.replace(tasks, specs=(dataclasses.replace(tasks.specs[0], action=Box((0.0,), (1.0,))),))
    stepper = make_stepper(wrong, engine, goal_seed=0)
    with pytest.raises(Exception, match=r"gym/probes:counter.*action.*\(2,\).*\(1,\)"):
        stepper.reset(0)
    stepper.close()


def test_envpool_refuses_what_it_has_not():
    with pytest.raises(ValueError, match="gym/Pendulum-v1"):
        make_stepper(resolve(["metaworld/reach-v3", "gym/Pendulum-v1"]), "envpool", goal_seed=0)
    v1 = resolve(["metaworld/reach-v3"], TaskOptions(reward_version="v1"))
    with pytest.raises(ValueError, match="v1"):
        make_stepper(v1, "envpool", goal_seed=0)
