"""What a run does when a task fails: it says which, it keeps what it has, and goes on where it can."""

import dataclasses

import numpy as np
import pytest

from polytask.runs import checkpoint
from polytask.runs.folder import RunFolder
from polytask.stepping import TaskFailure
from polytask.training.start import train
from tests.durability.test_resume import config

pytestmark = pytest.mark.slow

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
    assert train(
        config(tasks=(GOOD, "gym/tests.learning.probes:breaks"), checkpoint_every=90, steps=90), tmp_path / "run"
    )
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    assert checkpoint.read_arrays(found.path)["restarts"].tolist() == [0, 2]


def test_a_divergence_says_so_and_what_is_not_finite_reaches_no_checkpoint(tmp_path):
    wild = dataclasses.replace(config().agent)
    object.__setattr__(wild, "learning_rate", 1e30)  # which a person cannot ask for
    with pytest.raises(FloatingPointError, match=r"diverged at step \d+: .* not finite; lower --agent.learning-rate"):
        train(config(agent=wild, warmup_steps=30, checkpoint_every=20, eval_every=0), tmp_path / "run")
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    arrays = checkpoint.read_arrays(found.path)
    assert all(np.isfinite(a).all() for name, a in arrays.items() if name.startswith("agent/"))


def test_a_run_of_any_length_ends_with_metrics_and_an_evaluation(tmp_path):
    assert train(config(steps=25, log_every=1000, eval_every=1000), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert [line["step"] for line in folder.read_metrics()] == [25]
    assert [line["step"] for line in folder.read_evaluations()] == [25]
    assert train(config(steps=25, eval_every=0), tmp_path / "blind")
    assert RunFolder(tmp_path / "blind").read_evaluations() == []


def test_what_combiners_tell_is_logged(tmp_path):
    agent = dataclasses.replace(config().agent, critic_combiner="mgda", actor_combiner="pcgrad")
    assert train(config(agent=agent, task_sampling="uniform", steps=45), tmp_path / "run")
    line = RunFolder(tmp_path / "run").read_metrics()[-1]
    assert sum(line["task"]["critic_weight"].values()) == pytest.approx(1, abs=1e-3)
    assert set(line["task"]["actor_nonfinite"].values()) == {0.0}
