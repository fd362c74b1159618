"""Acting with a trained run from Python."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import polytask
from polytask.policies.policy import load
from polytask.runs import checkpoint
from polytask.runs.checkpoint import CheckpointError
from polytask.runs.folder import RunFolderError
from polytask.tasks.spec import UnknownTaskError
from tests.small import AGENT, PLANE, POINT, command


@pytest.fixture(scope="module")
def policy(trained_run):
    return load(trained_run)


def test_an_action_has_the_task_s_own_dimensions_and_units(policy):
    generator = np.random.default_rng(0)
    for task, observation_dim, low, high in (
        (POINT, 2, [-2], [2]),
        (PLANE, 3, [-1, 0], [1, 4]),
    ):
        actions = policy.act(100 * generator.normal(size=(50, observation_dim)), task)
        assert actions.shape == (50, len(low))
        assert actions.dtype == np.float32
        assert (actions >= low).all()
        assert (actions <= high).all()
        assert np.ptp(actions) > 0


def test_an_action_is_the_stepper_s_action_in_the_task_s_units(policy):
    observations = np.array([[0.3, 1.0, 0.0], [0.3, -0.7, 1.0]], np.float32)
    unit = policy.act_in_all(observations)
    assert unit[0, 1] == 0  # padding
    np.testing.assert_allclose(policy.act(observations[0, :2], POINT), 2 * unit[0, :1], rtol=1e-5)
    np.testing.assert_allclose(policy.act(observations[1], PLANE), [unit[1, 0], 2 + 2 * unit[1, 1]], rtol=1e-5)


def test_a_batch_gives_what_its_rows_give(policy):
    observations = np.random.default_rng(0).normal(size=(4, 3))
    batch = policy.act(observations, PLANE)
    rows = [policy.act(row, PLANE) for row in observations]
    np.testing.assert_allclose(batch, rows, rtol=1e-5, atol=1e-6)


def test_drawn_actions_vary_and_repeat_with_seed_and_counter(trained_run, policy):
    observation = np.zeros(2)
    mode = policy.act(observation, POINT)
    np.testing.assert_array_equal(mode, policy.act(observation, POINT))
    one, other = load(trained_run, seed=1), load(trained_run, seed=2)
    drawn = [one.act(observation, POINT, deterministic=False) for _ in range(2)]
    assert drawn[0] != drawn[1]
    assert drawn[0] != other.act(observation, POINT, deterministic=False)
    one.counter = 0
    assert drawn[0] == one.act(observation, POINT, deterministic=False)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3), (1, 1, 2)])
def test_a_wrong_shape_is_refused_with_both_shapes_and_the_task(policy, shape):
    with pytest.raises(ValueError, match=r"gym/tests.small:point.*\(2,\) or \(N, 2\), not") as info:
        policy.act(np.zeros(shape), POINT)
    assert str(shape) in str(info.value)


def test_a_task_that_was_not_trained_is_refused_with_those_that_were(policy):
    with pytest.raises(UnknownTaskError, match=r"small:pint.*Did you mean gym/tests.small:point"):
        policy.act(np.zeros(2), "gym/tests.small:pint")


def test_a_checkpoint_folder_can_be_loaded_and_a_run_gives_its_newest(trained_run, policy):
    older, newest = sorted((trained_run / "checkpoints").glob("step_*"))[-2:]
    assert policy.step == load(newest).step == 120
    assert load(older).step == 60
    observation = np.ones(3)
    np.testing.assert_array_equal(load(newest).act(observation, PLANE), policy.act(observation, PLANE))
    assert (load(older).act(observation, PLANE) != policy.act(observation, PLANE)).any()


def test_only_what_acting_takes_is_read(trained_run, monkeypatch):
    read = []
    original = checkpoint.storage.read_arrays
    monkeypatch.setattr(
        checkpoint.storage, "read_arrays", lambda path, names=None: read.extend(names) or original(path, names)
    )
    load(trained_run)
    assert any(name.startswith("average/actor/") for name in read)
    assert not [name for name in read if "optimiser" in name or "target" in name]
    assert not [name for name in read if not name.startswith(("agent/", "average/"))]


def test_the_policy_acts_as_the_trained_agent_does_by_the_average_of_its_weights(trained_run, policy):
    from polytask import random
    from polytask.agents import averaging
    from polytask.agents.factory import make_agent

    agent = make_agent(policy.config.agent, policy.tasks)
    found = checkpoint.find(trained_run)
    other = agent.init(random.key(5, "other"))
    whole = {"agent": other, "average": averaging.start(other)}
    saved = checkpoint.restore(found.path, whole, partial=True)[0]
    observations, ids = np.ones((2, 3), np.float32), np.arange(2, dtype=np.int32)
    wanted = agent.act(averaging.acting(saved["agent"], saved["average"]), observations, ids, None)
    np.testing.assert_array_equal(policy.act_in_all(observations), wanted)
    assert (agent.act(saved["agent"], observations, ids, None) != wanted).any()


def test_neither_the_replay_nor_a_simulator_is_needed(trained_run, tmp_path):
    script = (
        "import sys, polytask\n"
        "heavy = [m for m in ('jax', 'numpy', 'gymnasium') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
        f"agent = polytask.load({str(trained_run)!r})\n"
        f"print(agent.act([0.0, 0.0], task={POINT!r}))\n"
        "used = [m for m in ('gymnasium', 'envpool', 'mujoco', 'tests.small') if m in sys.modules]\n"
        "assert not used, used\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=tmp_path)


def test_what_is_no_run_or_has_no_checkpoint_is_refused(tmp_path, trained_run):
    with pytest.raises(RunFolderError, match="not a run folder"):
        load(tmp_path)
    (tmp_path / "config.json").write_text((trained_run / "config.json").read_text())
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load(tmp_path)


def test_the_public_names_are_there():
    for name in dir(polytask):
        assert getattr(polytask, name) is not None
    assert {"train", "load", "TrainConfig", "BRCConfig", "SACConfig", "TaskOptions", "make_agent"} <= set(dir(polytask))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        polytask.nothing  # noqa: B018


def test_the_snippets_of_the_page_run(monkeypatch, tmp_path):
    """In order, in one namespace, beside an untrained agent in runs/x; training is left to other tests."""
    command(
        *("train", "metaworld/reach-v3", *AGENT, "--steps", "10", "--warmup-steps", "20", "--eval-every", "0"),
        *("--run", str(tmp_path / "runs" / "x")),
    )
    monkeypatch.chdir(tmp_path)
    trained_with = []

    def train(config, run, on_evaluation=None):
        trained_with.append((config, run))

    monkeypatch.setattr("polytask.training.start.train", train)
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    names = {}
    for snippet in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(snippet, names)
    assert names["action"].shape == names["drawn"].shape == (4,)
    assert names["actions"].shape == (16, 4)
    assert trained_with == [(names["config"], "runs/two-tasks")] * 2
