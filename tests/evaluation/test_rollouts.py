"""What counts as an episode of an evaluation."""

import numpy as np
import pytest

from polytask.evaluation.rollouts import evaluate
from polytask.stepping import StepResult, make_stepper
from polytask.tasks import TaskSet, TaskSpec, resolve
from polytask.tasks.spaces import Box, Vector
from tests.small import HORIZON, PLANE, POINT

LENGTHS = (3, 5)
TASKS = TaskSet(
    tuple(TaskSpec(f"gym/length-{n}", "gym", Vector(1), Box((-1.0,), (1.0,)), n, success="any-step") for n in LENGTHS)
)


class Script:
    """Episodes of three and five steps; step k of the stream is rewarded k. `at` overrides results at steps."""

    tasks = TASKS

    def __init__(self, success=(), restarted=(), ends="truncated"):
        self.restarts = np.zeros(2, np.int64)
        self.steps, self._within = 0, np.zeros(2, int)
        self._success, self._restarted, self._ends = set(success), set(restarted), ends
        self.seeds = []

    def reset(self, seed):
        self.seeds.append(seed)
        return np.zeros((2, 1), np.float32)

    def send(self, actions): ...

    def recv(self): ...

    def close(self): ...

    def step(self, actions):
        self.steps += 1
        self._within += 1
        result = StepResult.zeros(self.tasks)
        result.rewards[:] = self.steps
        for row in range(2):
            result.success[row] = (row, self.steps) in self._success
            if (row, self.steps) in self._restarted:
                result.restarted[row], result.rewards[row], self._within[row] = True, 0, 0
            elif self._within[row] == LENGTHS[row]:
                getattr(result, self._ends)[row], self._within[row] = True, 0
        return result


def still(observations):
    return np.zeros((2, 1), np.float32)


@pytest.mark.parametrize("ends", ["truncated", "terminated"])
def test_each_task_gives_as_many_episodes_as_asked(ends):
    stepper = Script(ends=ends)
    found = evaluate(still, stepper, 2, seed=7)
    np.testing.assert_array_equal(found.lengths, [[3, 3], [5, 5]])
    np.testing.assert_array_equal(found.returns, [[1 + 2 + 3, 4 + 5 + 6], [15, 6 + 7 + 8 + 9 + 10]])
    assert stepper.steps == 10
    assert stepper.seeds == [7]


def test_an_episode_succeeds_if_any_of_its_steps_does():
    # Task 0 succeeds in its second episode, and once more after its two episodes, which does not count.
    found = evaluate(still, Script(success={(0, 5), (0, 8), (1, 1)}), 2, seed=0)
    np.testing.assert_array_equal(found.successes, [[False, True], [True, False]])


def test_an_episode_in_which_the_environment_failed_does_not_count():
    found = evaluate(still, Script(success={(0, 1)}, restarted={(0, 2)}), 1, seed=0)
    assert not found.successes[0, 0]
    np.testing.assert_array_equal(found.lengths[:, 0], [3, 5])
    assert found.returns[0, 0] == 3 + 4 + 5


def test_the_result_depends_on_the_policy_and_the_seed_alone():
    tasks = resolve([POINT, PLANE])
    stepper = make_stepper(tasks, "serial", goal_seed=0)

    def run(seed, gain=-1.0):
        return evaluate(lambda observations: gain * observations[:, :2], stepper, 3, seed)

    one, again, other, better = run(1), run(1), run(2), run(1, -0.1)
    stepper.close()
    np.testing.assert_array_equal(one.returns, again.returns)
    assert (one.returns != other.returns).any()
    assert (one.returns != better.returns).any()
    assert (one.lengths == HORIZON).all()
