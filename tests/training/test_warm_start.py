"""A run that begins from another run's checkpoint."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from polytask.runs import checkpoint
from polytask.supervised import OptimiserConfig, TrainConfig, TrunkConfig, train
from polytask.training.warm_start import taken
from tests.small import AGENT, BREAKS, EVERY, PLANE, POINT, command
from tests.supervised.small import points


def test_what_fits_is_taken_and_tasks_are_matched_by_name():
    learned = {"table": jnp.zeros((3, 2)), "width": jnp.zeros(2), "other": jnp.zeros((3, 3)), "number": 1.0}
    arrays = {
        "table": np.array([[1, 1], [2, 2]], np.float32),
        "width": np.array([5, 6], np.float32),
        "other": np.ones((2, 2), np.float32),
        "gone": np.ones(1),
        "number": np.array(7.0),
    }
    state, report = taken(learned, arrays, ["a", "b"], ["b", "new", "a"], ["table", "other"])
    np.testing.assert_array_equal(state["table"], [[2, 2], [0, 0], [1, 1]])
    np.testing.assert_array_equal(state["width"], [5, 6])  # as long as the tasks there, but no axis of tasks
    assert state["number"] == 7.0
    assert (report.taken, report.joined) == (("number", "width"), ("table",))
    assert (report.fresh, report.dropped) == (("other",), ())


@pytest.mark.slow
def test_a_model_from_data_begins_where_another_ended(tmp_path, capsys):
    config = TrainConfig(
        problem="points", trunk=TrunkConfig(8, 1), batch_size=16, steps=20, eval_every=10, tensorboard=False
    )
    assert train(config, points(), tmp_path / "first")
    slow = {"optimiser": OptimiserConfig(learning_rate=1e-6), "steps": 1, "eval_every": 1}
    more = TrainConfig(**{**vars(config), **slow, "start_from": str(tmp_path / "first")})
    assert train(more, points(), tmp_path / "second")
    assert "begins from" in capsys.readouterr().out
    first, second = (checkpoint.read_arrays(checkpoint.find(tmp_path / name).path) for name in ("first", "second"))
    for name, array in first.items():
        if name.startswith("learner/best/"):
            np.testing.assert_allclose(second[name.replace("best", "params")], array, atol=1e-4, err_msg=name)


def test_nothing_that_fits_and_no_run_are_refused(tmp_path):
    run = ["--run", str(tmp_path / "run"), "--no-tensorboard", "--steps", "1"]
    code, _, err = command("train", "problems/tests.supervised.small:points", "--from", str(tmp_path / "none"), *run)
    assert (code, "none" in err) == (1, True)


@pytest.mark.slow
def test_an_agent_meets_one_task_more(tmp_path, trained_run):
    flags = [*AGENT, *EVERY, "--steps", "10", "--eval-every", "0", "--from", str(trained_run)]
    code, out, err = command("train", POINT, PLANE, BREAKS, *flags, "--run", str(tmp_path / "more"))
    assert (code, err) == (0, "")
    assert "begins from" in out
    before, after = (checkpoint.read_arrays(checkpoint.find(run).path) for run in (trained_run, tmp_path / "more"))
    session = json.loads((tmp_path / "more" / "provenance.json").read_text())["sessions"][-1]
    assert "agent/critic/conditioning/table" in session["joined"]
    for name in session["joined"]:
        np.testing.assert_array_equal(after[name][:2], before[name], err_msg=name)
    for name in session["taken"]:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert session["fresh"] == session["dropped"] == []
