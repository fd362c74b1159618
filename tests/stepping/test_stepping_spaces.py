"""Images, dictionaries and choices through every engine."""

import numpy as np
import pytest

from polytask.stepping import TaskFailure, make_stepper
from polytask.tasks import TaskOptions, TaskSet, padding, resolve
from polytask.tasks.spaces import images

ENGINES = ("serial", "process")
NAMES = tuple(f"gym/scenes:{name}" for name in ("game", "game_of_another_size", "grid", "robot", "walker"))


def actions(tasks, steps):
    """Rows of random actions: continuous dimensions, and an index among the task's own choices."""
    generator = np.random.default_rng(0)
    continuous = generator.uniform(-1, 1, (steps, len(tasks), tasks.action_dim)) * tasks.action_mask
    chosen = generator.integers([spec.choices for spec in tasks], size=(steps, len(tasks)))
    return np.concatenate([continuous, chosen[..., None]], axis=-1).astype(np.float32)


def rollout(engine, stack=1, steps=16, names=NAMES):
    tasks = resolve(names, TaskOptions(stack=stack))
    stepper = make_stepper(tasks, engine, goal_seed=0)
    try:
        return tasks, stepper.reset(1), [stepper.step(row) for row in actions(tasks, steps)]
    finally:
        stepper.close()


def own(tasks, row, observations):
    """A task's own images."""
    shapes = [image.shape for image in images(tasks.specs[row].observation)]
    return [observations.images[p][row, ..., : s[2]] for p, s in zip(tasks.places(row), shapes, strict=True)]


def same(one, other):
    for a, b in zip(padding.arrays(one), padding.arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("engine", ENGINES)
def test_stacks_are_the_last_frames_of_their_episode_the_first_repeated(engine):
    tasks, first, results = rollout(engine)
    stacked, stacked_first, stacked_results = rollout(engine, stack=3)
    for row in range(len(tasks)):
        for image, begins in enumerate(own(tasks, row, first)):
            frames = [begins] * 3
            np.testing.assert_array_equal(own(stacked, row, stacked_first)[image], np.concatenate(frames, axis=-1))
            for result, found in zip(results, stacked_results, strict=True):
                frames = [*frames[1:], own(tasks, row, result.next_observations)[image]]
                last = own(stacked, row, found.next_observations)[image]
                np.testing.assert_array_equal(last, np.concatenate(frames, axis=-1))
                if result.terminated[row] or result.truncated[row]:
                    frames = [own(tasks, row, result.observations)[image]] * 3
                now = own(stacked, row, found.observations)[image]
                np.testing.assert_array_equal(now, np.concatenate(frames, axis=-1))
    ended = np.array([result.terminated | result.truncated for result in results])
    assert ended.sum(axis=0).tolist() == [3, 4, 3, 2, 2]
    for result, found in zip(results, stacked_results, strict=True):
        np.testing.assert_array_equal(result.observations.vector, found.observations.vector)


def test_engines_agree_bit_for_bit():
    (_, first, results), (_, other, others) = (rollout(engine, stack=2) for engine in ENGINES)
    same(first, other)
    for result, found in zip(results, others, strict=True):
        same(result.observations, found.observations)
        same(result.next_observations, found.next_observations)
        for array, one in zip(result[2:], found[2:], strict=True):
            np.testing.assert_array_equal(array, one)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_task_has_not_is_zero_and_its_dictionary_is_in_order(engine):
    tasks, first, results = rollout(engine)
    assert tasks.images == ((8, 10, 3), (8, 10, 1), (10, 10, 4))
    for observations in (first, *[result.next_observations for result in results]):
        for row in range(len(tasks)):
            for place, images_there in enumerate(observations.images):
                held = [s for p, s in zip(tasks.places(row), own(tasks, row, observations), strict=True) if p == place]
                assert not images_there[row, ..., held[0].shape[-1] if held else 0 :].any()
        assert not observations.vector[:3].any()
        np.testing.assert_array_equal(observations.vector[3, 2:].sum(), 1)  # one-hot, behind the joints


def test_the_environment_gets_its_own_actions():
    """The scenes' rewards are the sums of the actions that they get."""
    tasks, _, results = rollout("serial")
    rows = actions(tasks, len(results))
    for step, result in enumerate(results):
        chosen = rows[step, :, -1].astype(int)
        robot = np.array([0.0, 2.0]) + np.array([1.0, 2.0]) * rows[step, 3, :2]
        wanted = [chosen[0], chosen[1] - 2, sum(np.unravel_index(chosen[2], (2, 2, 2))), robot.sum()]
        np.testing.assert_allclose(result.rewards[:4], wanted, rtol=1e-6)
        np.testing.assert_allclose(result.rewards[4], 2 * rows[step, 4, :3].sum(), rtol=1e-5)


@pytest.mark.parametrize(("choice", "text"), [(3, "is 3; .*from 0 to 2"), (-1, "is -1"), (0.5, r"is 0\.5")])
def test_a_choice_that_a_task_has_not_is_refused(choice, text):
    tasks = resolve(NAMES[:2])
    stepper = make_stepper(tasks, goal_seed=0)
    stepper.reset(0)
    with pytest.raises(ValueError, match=f"gym/scenes:game {text}"):
        stepper.send(np.array([[choice], [4]], np.float32))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failed_environment_begins_with_a_fresh_stack(engine):
    tasks = resolve(["gym/scenes:fails", "gym/scenes:game"], TaskOptions(stack=2))
    stepper = make_stepper(tasks, engine, goal_seed=0)
    stepper.reset(0)
    results = [stepper.step(np.zeros((2, 1), np.float32)) for _ in range(4)]
    stepper.close()
    assert [bool(result.restarted[0]) for result in results] == [False, False, True, False]
    assert not own(tasks, 0, results[2].next_observations)[0].any()
    fresh = own(tasks, 0, results[2].observations)[0]
    np.testing.assert_array_equal(fresh[..., :2], fresh[..., 2:])
    np.testing.assert_array_equal(own(tasks, 0, results[3].next_observations)[0][..., :2], fresh[..., 2:])


def test_an_image_that_breaks_its_space_names_the_task(monkeypatch):
    import scenes as stepped

    tasks = resolve(["gym/scenes:game"])
    stepper = make_stepper(tasks, goal_seed=0)
    stepper.reset(0)
    monkeypatch.setattr(stepped.Scene, "_observe", lambda *_: np.zeros((3, 3), np.uint8))
    with pytest.raises(TaskFailure, match=r"gym/scenes:game.*image has shape \(3, 3\)"):
        stepper.step(np.zeros((1, 1), np.float32))


def test_vectors_and_choices_alone_are_one_array():
    cart, walker = resolve(["gym/CartPole-v1", "gym/scenes:walker"]).specs
    tasks = TaskSet((cart, walker))
    stepper = make_stepper(tasks, goal_seed=0)
    assert stepper.reset(0).shape == (2, 4)
    result = stepper.step(np.array([[0, 0, 0, 1], [1, 1, 1, 0]], np.float32))
    assert result.observations.shape == (2, 4)
    np.testing.assert_array_equal(result.rewards, [1.0, 6.0])
