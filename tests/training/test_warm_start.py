"""A run that begins from another run's checkpoint."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import brc
from polytask.online.trainer import OnlineTrainer
from polytask.runs import checkpoint
from polytask.supervised import OptimiserConfig, TrainConfig, TrunkConfig, train
from polytask.supervised.spec import columns
from polytask.tasks.spec import TaskSet
from polytask.training.trainer import TaskAxes
from polytask.training.warm_start import taken
from tests.agents.cases import BRC, SMALL
from tests.small import AGENT, BREAKS, EVERY, PLANE, POINT, command
from tests.supervised.small import points

SAC = ["--agent.width", "8", "--agent.depth", "1", "--agent.batch-size", "8", "--agent.updates-per-step", "1"]


def test_what_fits_is_taken_and_tasks_are_matched_by_name():
    learned = {"table": jnp.zeros((3, 2)), "width": jnp.zeros(2), "other": jnp.zeros((3, 3)), "number": 1.0}
    arrays = {
        "table": np.array([[1, 1], [2, 2]], np.float32),
        "width": np.array([5, 6], np.float32),
        "other": np.ones((2, 2), np.float32),
        "gone": np.ones(1),
        "number": np.array(7.0),
    }
    here: TaskAxes = dict.fromkeys(("table", "other"), (0, ["b", "new", "a"]))
    before: TaskAxes = dict.fromkeys(("table", "other"), (0, ["a", "b"]))
    state, report = taken(learned, arrays, before, here)
    np.testing.assert_array_equal(state["table"], [[2, 2], [0, 0], [1, 1]])
    np.testing.assert_array_equal(state["width"], [5, 6])  # as long as the tasks there, but no axis of tasks
    assert state["number"] == 7.0
    assert (report.taken, report.joined) == (("number", "width"), ("table",))
    assert (report.fresh, report.dropped) == (("other",), ())


def test_columns_of_a_head_are_taken_by_task_and_new_tasks_keep_theirs():
    learned = {"kernel": jnp.full((2, 1, 6), 9.0), "alike": jnp.zeros(2)}
    arrays = {"kernel": np.arange(8, dtype=np.float32).reshape(2, 1, 4), "alike": np.array([1, 2], np.float32)}
    before = {"kernel": (-1, list("aabb")), "alike": (0, list("ab"))}
    here = {"kernel": (-1, list("bbnnaa")), "alike": (0, list("cd"))}
    state, report = taken(learned, arrays, before, here)
    np.testing.assert_array_equal(state["kernel"][:, 0], [[2, 3, 9, 9, 0, 1], [6, 7, 9, 9, 4, 5]])
    assert (report.joined, report.fresh) == (("kernel",), ("alike",))
    np.testing.assert_array_equal(state["alike"], [0, 0])


@pytest.mark.parametrize("conditioning", ["embedding", "multi-head"])
def test_everything_of_an_agent_that_grows_with_the_tasks_has_their_axis(conditioning):
    config = dataclasses.replace(
        BRC,
        conditioning=conditioning,
        normalise_observations=True,
        temperature="per-task",
        target_scale="tracked",
    )

    def leaves(count: int):
        specs = [dataclasses.replace(SMALL, name=f"task{i}") for i in range(count)]
        state = eqx.filter_eval_shape(brc.init, config, TaskSet(tuple(specs)), jax.random.key(0))
        trainer = SimpleNamespace(sessions=[SimpleNamespace(state=state)])
        learned = {f.name: getattr(state, f.name) for f in dataclasses.fields(state) if "optimiser" not in f.name}
        return dict(checkpoint.named_leaves(learned)), OnlineTrainer.task_axes(trainer, list(map(vars, specs)))

    (two, _), (three, axes) = leaves(2), leaves(3)
    grow = {name for name, leaf in two.items() if leaf.shape != three[name].shape}
    assert {"moments/mean", "log_temperature", "target_scale"} <= grow
    for name in grow:
        axis, names = next(axes[part] for part in axes if part in name)
        assert three[name].shape[axis] == len(names), name


def test_a_task_of_another_size_is_fresh():
    learned, arrays = {"bias": jnp.zeros(4)}, {"bias": np.ones(3, np.float32)}
    state, report = taken(learned, arrays, {"bias": (-1, list("abb"))}, {"bias": (-1, list("aabb"))})
    np.testing.assert_array_equal(state["bias"], [0, 0, 1, 1])
    assert report.joined == ("bias",)


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


def test_heads_of_a_model_are_taken_by_task_whatever_their_kinds_and_sizes(tmp_path):
    """In the model's columns tasks stand by kind and size, not in the problem's order."""
    common = {"problem": "points", "trunk": TrunkConfig(4, 1), "eval_every": 1, "tensorboard": False}
    few = TrainConfig(**common, steps=1, tasks=("place", "corner", "height"))
    assert train(few, points(), tmp_path / "few")
    still = {"optimiser": OptimiserConfig(learning_rate=1e-12), "steps": 1, "start_from": str(tmp_path / "few")}
    assert train(TrainConfig(**common, **still), points(), tmp_path / "all")
    first, second = (checkpoint.read_arrays(checkpoint.find(tmp_path / name).path) for name in ("few", "all"))
    before, after = columns(points().only(few.tasks).tasks), columns(points().tasks)
    for name in few.tasks:
        there, here = np.array(before) == name, np.array(after) == name
        np.testing.assert_allclose(
            second["learner/params/heads/kernel"][:, here], first["learner/best/heads/kernel"][:, there], atol=1e-6
        )


def test_a_run_of_another_kind_is_refused(tmp_path):
    source = str(Path(__file__).parents[1] / "runs" / "old" / "online")
    run = ["--run", str(tmp_path / "run"), "--no-tensorboard", "--steps", "1", "--from", source]
    code, _, err = command("train", "problems/tests.supervised.small:points", *run)
    assert (code, "is a run of the kind online, and this one is of the kind supervised" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["brc", "sac"])
def test_an_agent_with_a_head_for_each_task_keeps_those_of_known_tasks(tmp_path, agent):
    sizes = ["--agent.conditioning", "multi-head", *AGENT] if agent == "brc" else ["--agent.kind", "sac", *SAC]
    flags = [*sizes, *EVERY, "--eval-every", "0", "--no-tensorboard"]
    assert command("train", POINT, PLANE, *flags, "--steps", "30", "--run", str(tmp_path / "two"))[0] == 0
    more = ["--steps", "10", "--from", str(tmp_path / "two"), "--run", str(tmp_path / "three")]
    code, _, err = command("train", PLANE, BREAKS, POINT, *flags, *more)
    assert (code, err) == (0, "")
    before, after = (checkpoint.read_arrays(checkpoint.find(tmp_path / run).path) for run in ("two", "three"))
    session = json.loads((tmp_path / "three" / "provenance.json").read_text())["sessions"][-1]
    heads = ("critic/members/head", "target_critic/members/head", "actor/mean", "actor/log_std")
    names = [f"agent/{head}/dense/{leaf}" for head in heads for leaf in ("kernel", "bias")]
    assert set(names) <= set(session["joined"])
    for name in names:
        point, plane = np.split(before[name], 2, axis=-1)
        first, new, last = np.split(after[name], 3, axis=-1)
        np.testing.assert_array_equal(first, plane, err_msg=name)
        np.testing.assert_array_equal(last, point, err_msg=name)
        if name.endswith("kernel"):
            assert not np.array_equal(new, point)
            assert not np.array_equal(new, plane)


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
