"""Training on several devices, forced on one CPU in a process of its own."""

import os
import subprocess
import sys

import jax
import pytest
from jax.sharding import Mesh

from polytask.agents.factory import make_agent
from polytask.agents.mesh import make_mesh
from tests.agents.cases import BRC, TASKS

SCRIPT = """
import dataclasses, jax, numpy as np
from polytask.agents.factory import make_agent
from tests.agents.cases import BRC, TASKS, assert_same, make_batches

ids = np.arange(16).reshape(2, 8) % 2
bound = np.array([2.0, 30.0], np.float32)

def train(config, mesh):
    agent = make_agent(config, TASKS, mesh)
    state = agent.init(jax.random.key(0))
    for step in range(2):
        batches = jax.tree.map(np.asarray, make_batches(ids, step))
        state, metrics = agent.update(state, batches, bound, jax.random.key(step))
    observations = np.zeros((2, TASKS.observation_dim), np.float32)
    actions = agent.act(state, observations, np.arange(2, dtype=np.int32), jax.random.key(9))
    return state, metrics, actions

for config, mesh in ((BRC, "data=4,model=2"), (dataclasses.replace(BRC, critic_combiner="pcgrad"), "model=4")):
    one, many = train(config, ""), train(config, mesh)
    compared = [(state.critic, state.actor, *rest) for state, *rest in (one, many)]
    assert_same(*compared, rtol=2e-3, atol=1e-4)
    kernel = jax.tree.leaves(many[0].critic.members)[0]
    assert not kernel.sharding.is_fully_replicated, kernel.sharding
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(many[0].actor))
print("same")
"""


@pytest.mark.slow
def test_a_mesh_gives_the_numbers_of_one_device():
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "same", done.stderr


@pytest.mark.parametrize("text", ["4", "data=0", "data=2;model=1", "width=2"])
def test_a_mesh_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match="a mesh reads"):
        make_mesh(text)


def test_too_few_devices_are_counted_and_the_way_out_is_named():
    with pytest.raises(ValueError, match=r"needs 4096 devices, and JAX sees .*device_count=4096"):
        make_mesh("data=1024,model=4")


def test_without_a_mesh_there_is_one_device():
    assert make_mesh("") is None
    mesh = make_mesh("data=1")
    assert isinstance(mesh, Mesh)
    state = make_agent(BRC, TASKS, "model=1").init(jax.random.key(0))
    assert {d for leaf in jax.tree.leaves(state) for d in leaf.devices()} == {jax.devices()[0]}
