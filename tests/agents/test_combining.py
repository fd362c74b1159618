"""BRC with combined task gradients."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import brc
from polytask.agents.combining import combined_or_mean
from polytask.agents.factory import make_agent
from polytask.combine import make_combiner
from polytask.replay.buffer import Replay
from polytask.tasks.spec import TaskSet
from tests.agents.cases import BATCH, BRC, TASKS, assert_finite, assert_same, brc_case, differ, make_batches

KEY, BOUND = jax.random.key(1), jnp.array([2.0, 30.0])


def with_combiners(critic: str, actor: str, batches, steps: int = 1):
    """The state after `steps` updates, from the same parameters as without combiners."""
    config = dataclasses.replace(BRC, critic_combiner=critic, actor_combiner=actor)
    case = brc_case()
    fresh = brc.init(config, TASKS, jax.random.key(0))
    state = dataclasses.replace(case.state, critic_combiner=fresh.critic_combiner, actor_combiner=fresh.actor_combiner)
    update = jax.jit(partial(brc.update, config))
    for step in range(steps):
        state, metrics = update(case.facts, state, batches, BOUND, jax.random.fold_in(KEY, step))
    return state, metrics


def balanced(seed: int = 0):
    return make_batches(np.repeat([0, 1], BATCH // 2)[None], seed)


def learned(state):
    return (state.critic, state.target_critic, state.actor, state.log_temperature)


@pytest.mark.slow
def test_the_mean_of_task_gradients_is_the_gradient_of_the_mean():
    case, batches = brc_case(), balanced()
    key = jax.random.fold_in(KEY, 0)
    plain, metrics = case.update(case.facts, case.state, batches, BOUND, key)
    combined, combined_metrics = with_combiners("mean", "mean", batches)
    # Adam divides by the gradient's size, so where a gradient is near zero its rounding shows in the parameters.
    assert_same(learned(combined), learned(plain), rtol=1e-3, atol=2e-5)
    # The combiners also log weights and the like.
    assert_same({name: combined_metrics[name] for name in metrics}, metrics, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_each_part_can_be_combined_alone():
    batches = balanced()
    both, critic = with_combiners("mgda", "mgda", batches)[0], with_combiners("mgda", "none", batches)[0]
    neither = with_combiners("none", "none", batches)[0]
    assert_same(both.critic, critic.critic, rtol=1e-6, atol=1e-7)
    assert differ(critic.critic, neither.critic)
    assert differ(both.actor, critic.actor)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pcgrad", "famo", "gradvac", "it_mtl", "graddrop"])
def test_methods_with_states_keys_and_lookahead_work(name):
    actor = name if name in ("pcgrad", "gradvac", "graddrop") else "none"
    state, metrics = with_combiners(name, actor, balanced(), steps=2)
    assert_finite((learned(state), metrics))


@pytest.mark.slow
def test_one_task_is_as_without_a_combiner():
    config = dataclasses.replace(BRC, critic_combiner="pcgrad", actor_combiner="pcgrad")
    alone = TaskSet(TASKS.specs[:1])
    batches = make_batches(np.zeros((1, BATCH)))
    o, a = alone.observation_dim, alone.action_dim
    batches = batches._replace(
        observations=batches.observations[..., :o],
        actions=batches.actions[..., :a],
        next_observations=batches.next_observations[..., :o],
    )
    states = []
    for chosen in (config, BRC):
        agent = make_agent(chosen, alone)
        state, _ = agent.update(agent.init(jax.random.key(0)), batches, BOUND[:1], KEY)
        states.append(learned(state))
    assert_same(*states, rtol=1e-3, atol=2e-5)


def test_what_cannot_work_is_said_before_training():
    with pytest.raises(ValueError, match="did you mean 'pcgrad'"):
        make_agent(dataclasses.replace(BRC, critic_combiner="pcgard"), TASKS)
    with pytest.raises(ValueError, match="to the critic only"):
        make_agent(dataclasses.replace(BRC, actor_combiner="gls"), TASKS)


def test_balanced_batches_hold_every_task_equally_often_and_in_order():
    replay = Replay(3, 2, 1, 50)
    for step in range(20):
        rows = np.full((3, 2), step, np.float32)
        no = np.zeros(3, bool)
        replay.insert(rows, rows[:, :1], rows[:, 0], no, no, rows + 1, ~no)
    batch = replay.sample_balanced(2, 7, np.random.default_rng(0))
    assert batch.task_ids.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2, 2]] * 2
    np.testing.assert_array_equal(batch.next_observations, batch.observations + 1)


@pytest.mark.parametrize("name", ["modo", "famo"])
def test_combiners_get_what_they_ask_for(name):
    """An independent half of the batch, or the losses after the step; and every sample keeps what is beside it."""
    combiner = make_combiner(name, scale="mean")
    inputs = jnp.arange(16.0).reshape(16, 1) / 16

    def loss_fn(params, rows):
        errors = (rows[:, 0] - params) ** 2 + 1
        return errors.mean(), errors

    params = jnp.float32(0.3)
    state = combiner.init(params, 2)
    loss, beside, gradient, after, told = jax.jit(
        lambda params, state: combined_or_mean(
            loss_fn, params, inputs, combiner, state, KEY, 2, lambda params, gradient: params - 0.5 * gradient
        )
    )(params, state)
    np.testing.assert_allclose(beside, (inputs[:, 0] - params) ** 2 + 1, rtol=1e-6)
    assert np.isfinite(loss) & np.isfinite(gradient)
    assert "weights" in told
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True))
