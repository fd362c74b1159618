"""Environments that raise, die, hang, or give what is not a number."""

import numpy as np
import pytest

from polytask.stepping import TaskFailure, make_stepper
from polytask.stepping.process import ProcessEngine
from polytask.stepping.stepper import EngineStepper
from polytask.tasks import resolve


def run(stepper, steps):
    width = stepper.tasks.action_dim
    return [stepper.step(np.zeros((len(stepper.tasks), width), np.float32)) for _ in range(steps)]


@pytest.mark.parametrize("engine", ["serial", "process"])
def test_an_environment_that_raises_is_restarted_and_the_others_go_on(engine):
    tasks = resolve(["gym/probes:counter", "gym/probes:raises"])
    stepper = make_stepper(tasks, engine, goal_seed=0)
    first = stepper.reset(0)
    results = run(stepper, 4)
    stepper.close()
    assert [bool(r.restarted[1]) for r in results] == [False, False, True, False]
    assert not any(r.restarted[0] for r in results)
    np.testing.assert_array_equal(stepper.restarts, [0, 1])
    void = results[2]
    assert void.rewards[1] == 0
    assert not void.truncated[1]
    assert void.observations[1, 0] == 0  # a fresh episode,
    assert void.observations[1, 2] != first[1, 2]  # of a new seed
    assert [r.next_observations[0, 0] for r in results] == [1, 2, 3, 4]
    assert results[3].next_observations[1, 0] == 1


@pytest.mark.parametrize("engine", ["serial", "process"])
def test_repeated_failure_stops_with_task_step_and_error(engine):
    tasks = resolve(["gym/probes:counter", "gym/probes:raises"])
    stepper = make_stepper(tasks, engine, goal_seed=0)
    stepper.reset(0)
    with pytest.raises(
        TaskFailure, match=r"gym/probes:raises.*step 12.*RuntimeError: the arm fell off.*probes.py"
    ) as info:
        run(stepper, 20)
    stepper.close()
    assert (info.value.task, info.value.step) == ("gym/probes:raises", 12)


def test_a_worker_that_dies_is_replaced_and_names_the_task_that_killed_it():
    tasks = resolve(["gym/probes:counter", "gym/probes:dies", "gym/Pendulum-v1"])
    stepper = EngineStepper(tasks, [ProcessEngine(dict(enumerate(tasks)), workers=2)], goal_seed=0)
    stepper.reset(0)
    results = run(stepper, 5)
    # The counter and the pendulum share the first worker; the second has the culprit alone.
    assert [list(np.flatnonzero(r.restarted)) for r in results] == [[], [], [1], [], []]
    assert [r.next_observations[0, 0] for r in results] == [1, 2, 3, 4, 5]
    with pytest.raises(TaskFailure, match=r"gym/probes:dies.*died \(exit code -9\)"):
        run(stepper, 20)
    stepper.close()


def test_the_tasks_of_a_dead_worker_are_all_restarted():
    tasks = resolve(["gym/probes:counter", "gym/probes:dies"])
    stepper = EngineStepper(tasks, [ProcessEngine(dict(enumerate(tasks)), workers=1)], goal_seed=0)
    stepper.reset(0)
    results = run(stepper, 3)
    assert results[2].restarted.all()
    with pytest.raises(TaskFailure) as info:
        run(stepper, 20)
    assert info.value.task == "gym/probes:dies"
    stepper.close()


def test_a_worker_that_is_killed_from_outside_is_replaced():
    tasks = resolve(["gym/probes:counter"])
    engine = ProcessEngine(dict(enumerate(tasks)))
    stepper = EngineStepper(tasks, [engine], goal_seed=0)
    stepper.reset(0)
    run(stepper, 2)
    engine._workers[0].process.kill()
    results = run(stepper, 2)
    assert [bool(r.restarted[0]) for r in results] == [True, False]
    stepper.close()


def test_a_worker_that_hangs_is_replaced():
    tasks = resolve(["gym/probes:hangs"])
    stepper = EngineStepper(tasks, [ProcessEngine(dict(enumerate(tasks)), timeout=3.0)], goal_seed=0)
    stepper.reset(0)
    results = run(stepper, 3)
    assert [bool(r.restarted[0]) for r in results] == [False, False, True]
    stepper.close()


@pytest.mark.parametrize("engine", ["serial", "process"])
@pytest.mark.parametrize("what", ["reward", "observation"])
def test_values_that_are_not_finite_stop_at_once(engine, what):
    tasks = resolve(["gym/probes:counter", f"gym/probes:nan_{what}"])
    stepper = make_stepper(tasks, engine, goal_seed=0)
    stepper.reset(0)
    with pytest.raises(TaskFailure, match=f"gym/probes:nan_{what}.*step 3.*{what} is not finite"):
        run(stepper, 5)
    stepper.close()


def test_an_observation_of_another_shape_names_both():
    stepper = make_stepper(resolve(["gym/probes:bad_shape"]), goal_seed=0)
    stepper.reset(0)
    with pytest.raises(TaskFailure, match=r"gym/probes:bad_shape.*\(2,\).*\(3,\)"):
        run(stepper, 20)
    stepper.close()


def test_workers_end_with_their_stepper_and_never_import_jax(tmp_path):
    import psutil

    tasks = resolve(["gym/probes:counter", "gym/Pendulum-v1"])
    engine = ProcessEngine(dict(enumerate(tasks)), workers=2)
    stepper = EngineStepper(tasks, [engine], goal_seed=0)
    stepper.reset(0)
    processes = [psutil.Process(worker.process.pid) for worker in engine._workers]
    assert len(processes) == 2
    for process in processes:
        assert not any("jaxlib" in mapping.path for mapping in process.memory_maps())
    stepper.close()
    assert not any(process.is_running() for process in processes)
