"""The average of a policy's weights: of the first steps, of the window, and what acts with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import averaging
from polytask.agents.factory import make_agent
from tests.agents.cases import BRC, SAC, TASKS, assert_same, brc_case, differ, sac_case

CASES = pytest.mark.parametrize("case", [brc_case, sac_case], ids=["brc", "sac"])


def policy(tree):
    critic = getattr(tree, "critic", None)
    return tree.actor, tree.conditioning if critic is None else critic.conditioning


def scaled(state, factor):
    """The state with every weight of actor and critic `factor` times as large."""
    return jax.tree.map(lambda x: x * jnp.asarray(factor, x.dtype), state)


def averaged(states, window):
    average = averaging.start(states[0])
    for state in states:
        average = averaging.follow(average, state, jnp.float32(window))
    return average


@CASES
def test_a_policy_at_rest_is_its_own_average(case):
    state = case().state
    average = averaged([state] * 5, 3)
    assert average.steps == 5
    assert_same(policy(average), policy(state))


@CASES
def test_the_first_steps_are_a_plain_mean_and_no_trace_is_left_of_the_beginning(case):
    state = case().state
    average = averaged([scaled(state, factor) for factor in (100.0, 1.0, 4.0)], 1_000)
    assert_same(policy(average), policy(scaled(state, 35.0)), rtol=1e-5, atol=1e-6)


def test_then_each_step_weighs_as_the_window_says():
    state = brc_case().state
    factors = np.arange(1.0, 9.0)
    average = averaged([scaled(state, factor) for factor in factors], 2)
    expected = factors[0]
    for factor in factors[1:]:
        expected += (factor - expected) / 2
    assert_same(policy(average), policy(scaled(state, expected)), rtol=1e-5, atol=1e-6)


@CASES
def test_who_acts_is_the_average_and_the_rest_stays(case):
    state = case().state
    average = averaging.start(scaled(state, 2.0))
    state_of_average = averaging.acting(state, average)
    assert_same(policy(state_of_average), policy(average))
    assert_same(state_of_average.target_critic, state.target_critic)
    assert_same(state_of_average.critic.members, state.critic.members)
    assert averaging.acting(state, None) is state


@pytest.mark.parametrize("config", [BRC, SAC], ids=["brc", "sac"])
def test_an_update_may_overwrite_the_state_that_an_average_began_with(config):
    """The agent's update donates the state, so that the average must own its weights."""
    agent = make_agent(config, TASKS)
    state = agent.init(jax.random.key(0))
    before = jax.tree.map(np.asarray, policy(state))
    average = agent.follow(None, state, 10)
    jax.tree.map(lambda x: x.delete(), state)
    assert_same(policy(average), before)
    assert differ(policy(agent.follow(average, scaled(agent.init(jax.random.key(1)), 1.0), 10)), before)
