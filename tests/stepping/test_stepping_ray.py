"""The Ray engine: the bits of the process engine; actors that die are replaced, their tasks counted."""

from importlib.util import find_spec

import numpy as np
import pytest

from polytask.stepping import TaskFailure, make_stepper
from polytask.stepping.stepper import EngineStepper
from polytask.tasks import resolve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),  # importing it would settle its ports
]


@pytest.fixture(scope="module")
def ray():
    """Ray on this machine, for all tests here."""
    from polytask.cluster import connected

    with connected() as found:
        yield found


def stepped(tasks, engine, steps):
    """All that a stepper gives, in one list of arrays."""
    stepper = make_stepper(tasks, engine, goal_seed=0)
    found = [stepper.reset(3)]
    for step in range(steps):
        actions = np.full((len(tasks), tasks.action_width), np.sin(step), np.float32)
        found += stepper.step(actions)
    stepper.close()
    return found, stepper.restarts


def test_the_bits_are_those_of_the_process_engine_also_after_failures(ray):
    tasks = resolve(["gym/probes:counter", "gym/Pendulum-v1", "gym/probes:raises"])
    here, there = (stepped(tasks, engine, 8) for engine in ("process", "ray"))
    for one, other in zip(here[0], there[0], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(here[1], there[1])
    assert there[1].tolist() == [0, 0, 2]
    assert ray.is_initialized()  # a connection that others made stays


def test_an_actor_that_dies_is_replaced_and_all_of_its_tasks_are_restarted(ray):
    from polytask.stepping.remote import RayEngine

    tasks = resolve(["gym/probes:counter", "gym/probes:dies"])
    stepper = EngineStepper(tasks, [RayEngine(dict(enumerate(tasks)), workers=1)], goal_seed=0)
    stepper.reset(0)
    zeros = np.zeros((2, tasks.action_width), np.float32)
    assert [stepper.step(zeros).restarted.tolist() for _ in range(4)] == [
        [False, False],
        [False, False],
        [True, True],
        [False, False],
    ]
    assert stepper.restarts.tolist() == [1, 1]
    with pytest.raises(TaskFailure, match=r"the actor of gym/probes:counter, gym/probes:dies died"):
        _ = [stepper.step(zeros) for _ in range(20)]
    stepper.close()


def test_an_actor_that_hangs_is_replaced(ray):
    from polytask.stepping.remote import RayEngine

    tasks = resolve(["gym/probes:hangs"])
    stepper = EngineStepper(tasks, [RayEngine(dict(enumerate(tasks)), timeout=3.0)], goal_seed=0)
    stepper.reset(0)
    zeros = np.zeros((1, tasks.action_width), np.float32)
    assert [bool(stepper.step(zeros).restarted[0]) for _ in range(3)] == [False, False, True]
    stepper.close()
