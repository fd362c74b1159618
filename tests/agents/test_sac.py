"""The SAC baseline: temperatures and heads of each task's own, raw rewards."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents.factory import make_agent
from tests.agents.cases import ACTIONS, BATCH, SAC, TASKS, assert_finite, assert_same, make_batches, sac_case

KEY = jax.random.key(1)
BOUND = jnp.ones(2)


def test_a_task_outside_the_batch_keeps_its_heads_and_temperature():
    case = sac_case()
    after, _ = case.update(case.facts, case.state, make_batches(np.zeros((1, BATCH))), BOUND, KEY)
    assert after.log_temperature[0] != case.state.log_temperature[0]
    assert after.log_temperature[1] == case.state.log_temperature[1]
    for name in ("mean", "log_std"):
        new, old = (np.asarray(getattr(s.actor, name).dense.kernel) for s in (after, case.state))
        np.testing.assert_array_equal(new[:, ACTIONS:], old[:, ACTIONS:])
        assert (new[:, : TASKS.specs[0].action_dim] != old[:, : TASKS.specs[0].action_dim]).any()
    new, old = (np.asarray(s.critic.members.head.dense.kernel) for s in (after, case.state))
    np.testing.assert_array_equal(new[..., 1], old[..., 1])


def test_rewards_are_raw_whatever_the_bound():
    case, batches = sac_case(), make_batches(np.arange(BATCH)[None] % 2)
    after = case.update(case.facts, case.state, batches, BOUND, KEY)
    assert_same(after, case.update(case.facts, case.state, batches, jnp.full(2, jnp.inf), KEY))


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_stays_finite_over_reward_scales(scale):
    case, batches = sac_case(), make_batches(np.arange(BATCH)[None] % 2)
    scaled = batches._replace(rewards=batches.rewards * jnp.float32(scale))
    assert_finite(case.update(case.facts, case.state, scaled, BOUND, KEY))


def test_diagnose_takes_each_task_by_itself():
    agent, case = make_agent(SAC, TASKS), sac_case()
    batches = make_batches(np.repeat([[0], [1]], BATCH, axis=1))
    figures = agent.diagnose(case.state, batches, BOUND, KEY)
    assert {np.shape(x) for x in figures.values()} == {(2,)}
    assert_finite(figures)
    others = agent.diagnose(case.state, batches._replace(rewards=batches.rewards.at[1].add(5.0)), BOUND, KEY)
    for name, figure in figures.items():
        assert figure[0] == others[name][0], name
    assert figures["critic_loss"][1] != others["critic_loss"][1]
    assert agent.embeddings(case.state) is None


def test_values_are_the_lesser_critics_in_the_unit_of_rewards():
    case, ids = sac_case(), jnp.arange(2)
    observations = jnp.ones((2, TASKS.observation_dim))
    agents = [make_agent(dataclasses.replace(SAC, reward_multiplier=m), TASKS) for m in (1.0, 100.0)]
    values = [np.asarray(a.values(case.state, observations, ids, jnp.full(2, jnp.inf), KEY)) for a in agents]
    assert values[0].shape == (2,)
    assert np.isfinite(values[0]).all()
    np.testing.assert_allclose(values[0], 100 * values[1], rtol=1e-5)
