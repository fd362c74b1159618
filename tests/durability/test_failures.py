"""What a run does when a task fails: it says which, it keeps what it has, and goes on where it can."""

import pytest

from polytask.runtime import checkpoint
from polytask.runtime.training import train
from polytask.stepping import TaskFailure
from tests.durability.test_resume import config

GOOD = "gym/tests.learning.probes:up"


def test_a_reward_that_is_not_a_number_names_task_and_step_and_keeps_the_checkpoints(tmp_path):
    bad = "gym/tests.learning.probes:turns_nan"
    train(config(tasks=(GOOD, bad), checkpoint_every=40, steps=20), tmp_path / "run")
    with pytest.raises(TaskFailure, match=rf"'{bad}' failed at step 33.*reward is not finite"):
        train(config(tasks=(GOOD, bad), checkpoint_every=40), tmp_path / "run")
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    assert found.step == 32
    assert checkpoint.inspect(tmp_path / "run" / "checkpoints" / "step_000000020").step == 20


def test_an_environment_that_raises_is_started_anew_and_counted(tmp_path):
    assert train(config(tasks=(GOOD, "gym/tests.learning.probes:breaks"), checkpoint_every=90), tmp_path / "run")
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    assert checkpoint.read_arrays(found.path)["restarts"].tolist() == [0, 2]
