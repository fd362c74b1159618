"""What is kept of training episodes: the latest of each task, and how well each goes of late."""

import dataclasses

import numpy as np
import pytest

from polytask.agents.config import BRCConfig
from polytask.online.config import TrainConfig
from polytask.online.episodes import LEAST, EpisodeRecord
from polytask.stepping import StepResult
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSet, TaskSpec

JUDGED = TaskSpec("a/judged", "a", Vector(1), Box((-1.0,), (1.0,)), 5, success="any-step")
RANGED = dataclasses.replace(JUDGED, name="a/ranged", success="none", score_range=(0.0, 10.0))
PLAIN = dataclasses.replace(RANGED, name="a/plain", score_range=None)
TASKS = TaskSet((JUDGED, RANGED, PLAIN))


def episode(record: EpisodeRecord, rewards, success=False) -> None:
    """One step of each task, which ends its episode."""
    no = np.zeros(3, bool)
    seen = np.zeros((3, 1), np.float32)
    record.update(StepResult(seen, seen, np.array(rewards, np.float32), no, ~no, np.array([success, False, False]), no))


def test_a_batch_has_more_of_tasks_that_are_not_solved():
    record = EpisodeRecord(TASKS)
    np.testing.assert_allclose(record.shares(), 1 / 3)
    for _ in range(200):
        episode(record, [0.0, 5.0, 1e6], success=True)
    weights = np.array([LEAST, 0.5 + LEAST, 1 + LEAST])  # solved, half of its range, without a score
    np.testing.assert_allclose(record.shares(), weights / weights.sum(), rtol=1e-6)


@pytest.mark.parametrize("reward", [-1e12, 1e12])
def test_a_return_out_of_its_range_keeps_every_share_positive(reward):
    record = EpisodeRecord(TASKS)
    for _ in range(200):
        episode(record, [0.0, reward, 0.0])
    assert (record.shares() > 0).all()
    assert record.shares().sum() == pytest.approx(1)


def test_a_record_comes_back_whole():
    record, other = EpisodeRecord(TASKS), EpisodeRecord(TASKS)
    episode(record, [1.0, 2.0, 3.0], success=True)
    other.load(record.state())
    np.testing.assert_array_equal(other.shares(), record.shares())
    np.testing.assert_array_equal(other.last_return, record.last_return)


def test_a_combiner_and_shares_that_differ_are_refused_together():
    agent = BRCConfig(critic_combiner="pcgrad")
    with pytest.raises(ValueError, match=r"--task-sampling"):
        TrainConfig(("a/judged",), agent, task_sampling="unsolved").check_sampling()
    TrainConfig(("a/judged",), agent).check_sampling()
    TrainConfig(("a/judged",), BRCConfig(), task_sampling="unsolved").check_sampling()
