"""Agents compute in the float type of their parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import averaging
from polytask.agents.affinity import fresh_averages
from polytask.agents.factory import make_agent
from tests.agents.cases import BRC, SAC, TASKS, both_tasks, make_batches
from tests.dtypes import cast

pytestmark = pytest.mark.slow

BOUND = np.array([2.0, 3.0], np.float32)
CONFIGS = {
    "brc": dataclasses.replace(
        BRC,
        conditioning="one-hot",
        entropy_correction="empirical",
        critic_combiner="pcgrad",
        actor_combiner="mgda",
    ),
    "sac": SAC,
}


def types(tree):
    return [x.dtype for x in jax.tree.leaves(tree)]


def check(config, dtype):
    """Everything that an agent does with a state of that type is of that type, without a single promotion."""
    agent = make_agent(config, TASKS)
    state = cast(agent.init(jax.random.key(0)), dtype)
    key, each = jax.random.key(1), make_batches(np.arange(2)[:, None].repeat(4, 1))
    after, metrics = jax.eval_shape(agent._update_now, state, both_tasks(), BOUND, key)
    assert types(after) == types(state)
    if not config.combines:  # which measures the losses in float32 at least
        assert {metric.dtype for name, metric in metrics.items() if "_loss" in name} == {jnp.dtype(dtype)}
    acted = jax.eval_shape(agent.act, state, both_tasks().observations[0], both_tasks().task_ids[0], key)
    assert acted.dtype == dtype
    diagnosed = jax.eval_shape(agent.diagnose, state, each, BOUND, key)
    assert set(types(diagnosed)) == {jnp.dtype(dtype)}
    valued = jax.eval_shape(agent.values, state, both_tasks().observations[0], both_tasks().task_ids[0], BOUND, key)
    assert valued.dtype == dtype
    average = averaging.start(state)
    assert types(jax.eval_shape(averaging.follow, average, state, jnp.float32(3))) == types(average)
    if agent.measures_affinity:
        jax.eval_shape(agent.measure_affinity, state, each, BOUND, key, fresh_averages(2))


@pytest.mark.parametrize("name", CONFIGS)
def test_everything_is_in_the_type_of_the_parameters(name):
    check(CONFIGS[name], jnp.bfloat16)


@pytest.mark.parametrize("name", CONFIGS)
def test_with_64_bits_an_agent_is_in_float64(name):
    with jax.enable_x64(True):
        assert set(types(make_agent(CONFIGS[name], TASKS).init(jax.random.key(0)).actor)) == {jnp.dtype(jnp.float64)}
        check(CONFIGS[name], jnp.float64)


@pytest.mark.parametrize("config", [BRC, SAC])
def test_an_update_in_float64_learns_what_one_in_float32_does(config):
    agent, key = make_agent(config, TASKS), jax.random.key(1)
    state = agent.init(jax.random.key(0))

    def update(dtype):
        return jax.device_get(jax.jit(agent._update_now)(cast(state, dtype), both_tasks(), BOUND, key)[1])

    single = update(jnp.float32)
    with jax.enable_x64(True):
        double = update(jnp.float64)  # with other draws, so that only what hangs little on them is compared
    assert all(np.isfinite(value) for value in double.values())
    assert double["temperature"] == pytest.approx(single["temperature"], rel=1e-2)
    assert double["critic_loss"] == pytest.approx(single["critic_loss"], rel=0.5)
