"""A policy as files gives what the agent gives."""

import dataclasses
import importlib.util
import json
import sys

import jax
import numpy as np
import pytest

from polytask.agents import BRCConfig, DQNConfig, make_agent
from polytask.agents.base import Agent
from polytask.export import numpy_policy, writing
from polytask.online.config import TrainConfig
from polytask.policies.policy import Policy, load
from polytask.runs.storage import write_arrays
from polytask.tasks.spaces import Choices, Image, Named, Observations, Vector
from polytask.tasks.spec import TaskSet, TaskSpec
from tests.agents.cases import BRC, LARGE, SMALL
from tests.small import PLANE, command

SIZES = {"encoder_width": 6, "encoder_multiplier": 0.25}
SEEING = Named((("eye", Image(12, 10, 2, 2)), ("joints", Vector(3))))
BRANCHES = TaskSpec("chooses", "gym", SEEING, Choices((3,)), 20)
CASES = {
    "adapters": (dataclasses.replace(BRC, adapter_rank=2, normalise_observations=True), TaskSet((SMALL, LARGE))),
    "heads": (dataclasses.replace(BRC, conditioning="multi-head", trunk="mlp", actor_depth=1), TaskSet((SMALL, LARGE))),
    "mixed": (dataclasses.replace(BRC, film=True, **SIZES), TaskSet((BRANCHES, LARGE))),
    "impala": (dataclasses.replace(BRC, encoder="impala", critic_loss="squared-error", **SIZES), TaskSet((BRANCHES,))),
    "dqn": (DQNConfig(width=8, depth=1, **SIZES), TaskSet((BRANCHES, dataclasses.replace(BRANCHES, name="other")))),
}


def made(config: BRCConfig | DQNConfig, tasks: TaskSet) -> Policy:
    """A policy with weights that are all drawn, so that none can be left out unseen."""
    agent: Agent = make_agent(config, tasks)
    state = agent.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    policy = object.__new__(Policy)
    policy.agent, policy.tasks, policy.config, policy.step = agent, tasks, TrainConfig(("x",), config), 0
    policy.state = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype) if x.dtype == np.float32 else x, state
    )
    if getattr(state, "moments", None) is not None:
        policy.state = dataclasses.replace(policy.state, moments=state.moments)
    return policy


def drawn(tasks: TaskSet, count: int):
    rng = np.random.default_rng(1)
    ids = rng.integers(len(tasks), size=count).astype(np.int32)
    vector = rng.normal(size=(count, tasks.observation_dim)).astype(np.float32)
    images = tuple(rng.integers(256, size=(count, *shape)).astype(np.uint8) for shape in tasks.images)
    return (Observations(vector, images) if images else vector), ids


@pytest.mark.parametrize("case", CASES)
def test_numpy_acts_as_the_agent(case, tmp_path):
    policy = made(*CASES[case])
    write_arrays(tmp_path / "policy.npz", writing.arrays(policy))
    (tmp_path / "policy.json").write_text(json.dumps(writing.facts(policy)))
    other = numpy_policy.Policy(tmp_path)
    seen, ids = drawn(policy.tasks, 1000 if not policy.tasks.images else 100)
    vector, images = (seen.vector, seen.images) if isinstance(seen, Observations) else (seen, ())
    theirs = np.asarray(policy.agent.act(policy.state, seen, ids, None))
    np.testing.assert_allclose(other.rows(vector, ids, images), theirs, atol=1e-5)
    assert len(np.unique(theirs[:, -1])) > 1


def test_an_exported_run_acts_without_polytask_in_the_task_s_units(trained_run, tmp_path):
    code, out, err = command("export", str(trained_run), "--out", str(tmp_path / "out"))
    assert (code, err) == (0, "")
    assert str(tmp_path / "out") in out
    module = importlib.util.spec_from_file_location("exported", tmp_path / "out" / "policy.py")
    exported = importlib.util.module_from_spec(module)
    module.loader.exec_module(exported)
    assert not {"jax", "polytask"} & set(vars(exported))
    theirs, ours = load(trained_run), exported.Policy(tmp_path / "out")
    for seen in np.random.default_rng(0).normal(size=(20, 3)):
        np.testing.assert_allclose(ours.act(seen, PLANE), theirs.act(seen, PLANE), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["adapters", "mixed"])
def test_stablehlo_acts_as_the_agent(case, tmp_path):
    policy = made(*CASES[case])
    writing._write_stablehlo(policy, tmp_path)
    found = jax.export.deserialize(bytearray((tmp_path / "policy.jax_export").read_bytes()))
    seen, ids = drawn(policy.tasks, 1000)
    parts = (seen.vector, *seen.images) if isinstance(seen, Observations) else (seen,)
    theirs = policy.agent.act(policy.state, seen, ids, None)
    np.testing.assert_allclose(found.call(*parts, ids), theirs, atol=1e-5)


@pytest.mark.slow
def test_onnx_acts_as_the_agent(tmp_path):
    pytest.importorskip("jax2onnx")
    runtime = pytest.importorskip("onnxruntime")
    policy = made(*CASES["adapters"])
    writing._write_onnx(policy, tmp_path)
    session = runtime.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
    seen, ids = drawn(policy.tasks, 1000)
    (ours,) = session.run(None, {"observations": seen, "task_ids": ids})
    np.testing.assert_allclose(ours, policy.agent.act(policy.state, seen, ids, None), atol=1e-5)


@pytest.mark.parametrize(
    ("write", "package"), [(writing._write_onnx, "jax2onnx"), (writing._write_stablehlo, "flatbuffers")]
)
def test_a_format_without_its_package_says_what_to_install(write, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"polytask\[export\]"):
        write(made(*CASES["heads"]), tmp_path)
