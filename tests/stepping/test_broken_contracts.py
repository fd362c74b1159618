"""Environments that do not return what Gymnasium's interface says: every error names the task and what to do."""

import dataclasses

import gymnasium
import numpy as np
import pytest

from polytask.stepping import TaskFailure, make_stepper
from polytask.tasks import OldGym, TaskSet, make_env, resolve

CASES = [
    ("four_values", r"step\(\) gives 4 values.*OldGym.*terminated, truncated"),
    ("no_info", r"reset\(\) gives no info.*OldGym"),
    ("no_seed", r"reset\(\) takes no seed.*OldGym.*seed=None"),
    ("old", r"OldInterface, not a gymnasium.Env.*OldGym"),
    ("no_spaces", r"no observation_space.*__init__"),
    ("pair_observation", r"info is 1.0; return a dictionary"),
    ("dict_of_values", r"step\(\) does not give five values.*terminated, truncated, info"),
    ("reward_none", r"reward is None; return one number"),
    ("reward_array", r"reward is an array of shape \(2,\); return one number"),
    ("info_none", r"info is None; return a dictionary"),
    ("text_observation", r"observation, a str, does not fit its observation_space"),
    ("no_observation", r"observation, a NoneType, does not fit its observation_space"),
    ("wide_observation", r"observation has shape \(6,\), but its TaskSpec says \(3,\).*agree"),
]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_naming_the_task_says_what_is_wrong_and_what_mends_it(name, text):
    with pytest.raises(ValueError, match=f"task 'gym/probes:{name}'.*{text}"):
        resolve([f"gym/probes:{name}"])


def unprobed(name):
    """The tasks of an environment that broke after its facts were read."""
    (spec,) = resolve(["gym/probes:counter"])
    return TaskSet((dataclasses.replace(spec, name=f"gym/probes:{name}"),))


def run(tasks, engine, steps=4):
    stepper = make_stepper(tasks, engine, goal_seed=0)
    try:
        stepper.reset(0)
        for _ in range(steps):
            stepper.step(np.zeros((1, 2), np.float32))
    finally:
        stepper.close()


@pytest.mark.parametrize(("name", "text"), CASES)
def test_stepping_says_the_same(name, text):
    with pytest.raises(TaskFailure, match=f"task 'gym/probes:{name}'.*{text}"):
        run(unprobed(name), "serial")


def test_worker_processes_say_the_same():
    with pytest.raises(TaskFailure, match=r"gym/probes:four_values.*step\(\) gives 4 values.*OldGym"):
        run(unprobed("four_values"), "process")


def test_an_error_of_the_environment_s_own_is_left_alone():
    with pytest.raises(TaskFailure, match=r"RuntimeError: the arm fell off") as failure:
        run(unprobed("raises"), "serial", 12)
    assert "OldGym" not in str(failure.value)


def test_an_array_of_one_entry_is_a_reward():
    tasks = resolve(["gym/probes:reward_of_one_entry"])
    stepper = make_stepper(tasks, goal_seed=0)
    stepper.reset(0)
    assert stepper.step(np.zeros((1, 2), np.float32)).rewards[0] == 1.5
    stepper.close()


def test_a_wrapped_old_environment_is_seeded_keeps_its_time_limit_apart_and_renders():
    import probes

    (spec,) = resolve(["gym/probes:old_wrapped"])
    one, same, other = (make_env(spec, seed=seed, goal_seed=0, render=True) for seed in (1, 1, 2))
    first = one.reset()[0]
    np.testing.assert_array_equal(first, same.reset()[0])
    assert (first != other.reset()[0]).any()
    steps = [one.step(np.zeros(2, np.float32)) for _ in range(3)]
    assert [step[2:4] for step in steps] == [(False, False), (False, False), (False, True)]
    assert one.render().shape == (4, 4, 3)
    old = probes.OldInterface()
    OldGym(old).close()
    assert old.closed


@pytest.mark.parametrize("name", ["four_values", "no_info", "no_seed"])
def test_the_wrapper_mends_what_is_old_in_part(name, monkeypatch):
    import probes

    broken = getattr(probes, name)
    monkeypatch.setattr(probes, name, lambda **_: gymnasium.wrappers.TimeLimit(OldGym(broken().env), 50))
    tasks = resolve([f"gym/probes:{name}"])
    draws = []
    for _ in range(2):
        env = make_env(tasks.specs[0], seed=3, goal_seed=0)
        draws.append(env.reset()[0])
        assert env.step(np.zeros(2, np.float32))[0][0] == 1
    if name != "no_seed":
        np.testing.assert_array_equal(*draws)


def test_spaces_of_old_gym_become_gymnasium_s():
    class Box:
        low, high, dtype = np.array([-1.0]), np.array([2.0]), np.dtype(np.float64)

    class Dict:
        spaces = {"arm": Box()}  # noqa: RUF012

    class Text:
        pass

    class Old:
        observation_space, action_space = Dict(), Box()

        def reset(self):
            return {"arm": np.zeros(1)}

    env = OldGym(Old())
    assert env.observation_space["arm"].high == env.action_space.high == 2.0
    assert env.reset(seed=1) == ({"arm": 0.0}, {})
    Old.action_space = Text()
    with pytest.raises(ValueError, match=r"neither a Box nor a Dict.*gymnasium\.spaces"):
        OldGym(Old())
