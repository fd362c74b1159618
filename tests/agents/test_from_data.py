"""Agents from data: what their papers promise, in named properties."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import bcq, iql, td3_bc
from polytask.agents.base import task_facts
from polytask.agents.from_data import reward_scale
from polytask.agents.moments import Moments, moments_of, seen
from polytask.agents.offline_config import BCQConfig, BRCBCConfig, IQLConfig, TD3BCConfig
from polytask.agents.registry import AGENTS, agent_config
from polytask.losses import (
    advantage_weight,
    behaviour_distance,
    expectile_loss,
    masked_elbo_loss,
    masked_normal_log_prob,
    soft_clipped_minimum,
    value_normalisation,
)
from polytask.networks import Perturbation
from tests.agents.cases import TASKS, both_tasks
from tests.small import POINT, asked

SMALL = {"width": 8, "depth": 1}
FACTS = task_facts(TASKS, mask_padded_actions=True, entropy_per_dimension=0.0)
SCALES = [1e-12, 1.0, 1e12]


@cache
def bcq_state():
    return bcq.init(BCQConfig(**SMALL, vae_width=8, acting_candidates=4), TASKS, jax.random.key(0))


@pytest.mark.parametrize("expectile", [0.1, 0.5, 0.7, 0.99])
def test_the_expectile_loss_is_least_at_the_expectile(expectile):
    """Where the pulls of the samples above and below balance (Newey and Powell 1987); 0.5 is the mean."""
    samples = jnp.asarray(np.random.default_rng(0).normal(size=200) * 3 + 1, jnp.float32)
    value = jnp.float32(1.0)
    for _ in range(200):
        weight = jnp.where(samples > value, expectile, 1 - expectile)
        value = (weight * samples).sum() / weight.sum()
    slope = jax.grad(lambda v: jax.vmap(expectile_loss, (0, None))(samples - v, expectile).mean())(value)
    assert abs(float(slope)) < 1e-4
    if expectile == 0.5:
        assert float(value) == pytest.approx(float(samples.mean()), abs=1e-4)


def test_higher_expectiles_give_higher_values_up_to_the_best_sample():
    samples = jnp.linspace(-1, 2, 7)
    slopes = [
        float(jax.grad(lambda v, e=e: jax.vmap(expectile_loss, (0, None))(samples - v, e).mean())(jnp.float32(1.0)))
        for e in (0.3, 0.7, 0.999)
    ]
    assert slopes[0] > slopes[1] > slopes[2]  # ever more upwards from the same value


@pytest.mark.parametrize("advantage", [-1e12, -1.0, 0.0, 1.0, 100.0, 1e12])
def test_advantage_weights_are_finite_positive_and_at_most_a_hundred(advantage):
    weight, slope = jax.value_and_grad(advantage_weight)(jnp.float32(advantage), 3.0)
    assert 0 <= float(weight) <= 100
    assert np.isfinite(float(slope))
    if abs(advantage) <= 1:
        assert float(weight) == pytest.approx(np.exp(3 * advantage), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e12])
def test_lambda_does_not_depend_on_the_scale_of_a_task_s_values(scale):
    """lambda q has mean size alpha in each task, whatever the task's rewards, and whatever those of the others."""
    q = jnp.asarray([1.0, -3.0, 2.0, 2.0], jnp.float32) * jnp.asarray([scale, scale, 1.0, 1.0], jnp.float32)
    groups = jax.nn.one_hot(jnp.array([0, 0, 1, 1]), 3)
    scaled = q * value_normalisation(q, groups, 2.5)
    np.testing.assert_allclose(np.abs(scaled[:2]).mean(), 2.5, rtol=1e-5)
    np.testing.assert_allclose(scaled[2:], 2.5, rtol=1e-5)
    assert np.isfinite(value_normalisation(jnp.zeros(4), groups, 2.5)).all()
    slope = jax.grad(lambda q: value_normalisation(q, groups, 2.5).sum())(q)
    assert not slope.any()  # it is a weight, not something to learn through


def test_padded_dimensions_take_no_part_in_any_distance():
    mask, junk = jnp.array([1.0, 1.0, 0.0]), jnp.array([0.0, 0.0, 9.0])
    a, b = jnp.array([0.5, -0.5, 0.0]), jnp.array([0.0, 0.5, 0.0])
    assert float(behaviour_distance(a, b, mask)) == pytest.approx((0.25 + 1) / 2)
    assert float(behaviour_distance(a + junk, b, mask)) == float(behaviour_distance(a, b, mask))
    assert float(behaviour_distance(a, b, jnp.zeros(3))) == 0
    ones = jnp.zeros(3), mask
    assert float(masked_normal_log_prob(a + junk, b, *ones)) == float(masked_normal_log_prob(a, b, *ones))
    full = float(masked_normal_log_prob(a[:2], b[:2], jnp.zeros(2), jnp.ones(2)))
    assert full == pytest.approx(-0.5 * 1.25 - np.log(2 * np.pi), rel=1e-6)


def test_bcq_s_soft_minimum_lies_between_the_critics():
    q = jnp.array([3.0, -1.0])
    assert [float(soft_clipped_minimum(q, w)) for w in (1.0, 0.75, 0.0)] == [-1.0, 0.0, 3.0]


def test_an_autoencoder_at_the_prior_that_reproduces_has_no_loss():
    a, mask = jnp.array([0.3, -0.2]), jnp.ones(2)
    assert float(masked_elbo_loss(a, a, jnp.zeros(4), jnp.zeros(4), mask)) == pytest.approx(0, abs=1e-7)
    assert float(masked_elbo_loss(a, a, jnp.ones(4), jnp.zeros(4), mask)) == pytest.approx(0.25)


@pytest.mark.parametrize("most", [0.0, 0.05, 2.0])
def test_perturbations_keep_their_bound_and_the_actions_theirs(most):
    trunk = bcq_state().actor.perturbation.trunk
    moved = Perturbation(trunk, TASKS.action_dim, 1, most, key=jax.random.key(1))
    moved = jax.tree.map(lambda leaf: 1e3 * leaf, moved)  # saturated
    batch = jax.tree.map(lambda leaf: leaf[0], both_tasks())
    features = bcq_state().critic.conditioning(batch.task_ids)
    after = moved(batch.observations, batch.actions, features, batch.task_ids)
    assert float(jnp.abs(after - batch.actions).max()) <= most + 1e-6
    assert float(jnp.abs(after).max()) <= 1
    if most == 0.05:
        assert float(jnp.abs(after - batch.actions).max()) > 0.049


def test_bcq_acts_by_the_best_of_its_candidates_and_alike_without_a_key():
    state, config = bcq_state(), BCQConfig(**SMALL, vae_width=8, acting_candidates=4)
    seen_, ids = both_tasks().observations[0, :2], jnp.arange(2)
    acting = AGENTS["bcq"].make(config, TASKS, None)._acting(state)
    first = bcq.act(config, FACTS, acting, seen_, ids, None)
    np.testing.assert_array_equal(first, bcq.act(config, FACTS, acting, seen_, ids, None))
    assert not first[0, 2:].any()  # padded
    drawn = jnp.broadcast_to(bcq._fixed(4, state.actor.vae.latent, jnp.float32), (2, 4, state.actor.vae.latent))
    parts = state.actor.vae, state.actor.perturbation, state.critic
    actions, q = bcq.candidates(parts, FACTS, seen_, drawn, ids)
    np.testing.assert_allclose(first, actions[jnp.arange(2), q[0].argmax(axis=1)], atol=1e-6)


def test_fixed_latents_cover_their_range_evenly():
    points = np.asarray(bcq._fixed(100, 2, jnp.float32))
    assert np.abs(points).max() <= 0.5
    counts = np.histogramdd(points, bins=4, range=[(-0.5, 0.5)] * 2)[0]
    assert counts.min() >= 3  # 6.25 of 100 on average in each of 16 cells
    assert len(np.unique(points, axis=0)) == 100


def test_no_unlogged_action_is_asked_for_its_value_in_iql():
    """Its target does not change with the critic's opinion of anything but the logged actions."""
    config = IQLConfig(**SMALL)
    state = iql.init(config, TASKS, jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[0], both_tasks())
    other = dataclasses.replace(state, actor=jax.tree.map(lambda leaf: leaf + 1, state.actor))
    for loss in (lambda s: iql.value_loss(config, s.value, s, batch), lambda s: iql._target(FACTS, s, batch)):
        np.testing.assert_array_equal(loss(state), loss(other))


def test_td3_bc_s_actor_only_imitates_where_alpha_is_zero():
    config = TD3BCConfig(**SMALL, alpha=0.0)
    state = td3_bc.init(config, TASKS, jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[0], both_tasks())
    loss, _ = td3_bc.actor_loss(config, FACTS, state.actor, state, batch)
    actions = td3_bc.policy(state.actor, state.critic, FACTS, batch.observations, batch.task_ids)
    mask = FACTS.action_mask[batch.task_ids]
    assert float(loss) == pytest.approx(float(jax.vmap(behaviour_distance)(actions, batch.actions, mask).mean()))


@pytest.mark.parametrize("bound", [*SCALES, 0.0, np.inf])
def test_scaled_rewards_have_a_largest_return_of_a_hundred_or_stay(bound):
    scale = float(reward_scale(IQLConfig(), jnp.full(1, bound))[0])
    assert scale == pytest.approx(100 / bound if 0 < bound < np.inf else 1.0, rel=1e-5)
    assert float(reward_scale(IQLConfig(normalise_rewards=False), jnp.full(1, bound))[0]) == 1


def test_the_moments_of_data_are_those_of_its_rows_seen_at_once():
    rng = np.random.default_rng(0)
    rows = [np.float32(rng.normal(size=(50, 3)) * 5 + 2), np.float32(rng.normal(size=(20, 5)))]
    padded = np.concatenate([np.pad(own, ((0, 0), (0, 5 - own.shape[1]))) for own in rows])
    stepped = seen(Moments(2, 5), jnp.asarray(padded), jnp.asarray(np.repeat([0, 1], [50, 20])))
    for ours, theirs in zip(jax.tree.leaves(moments_of(rows, 5)), jax.tree.leaves(stepped), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_agents_from_data_are_known_and_refuse_to_explore(tmp_path):
    from polytask.online.trainer import prepare

    for kind, config in (("td3-bc", TD3BCConfig), ("iql", IQLConfig), ("bcq", BCQConfig), ("brc-bc", BRCBCConfig)):
        assert type(agent_config(kind)) is config
        assert AGENTS[kind].from_data
        with pytest.raises(ValueError, match=f"'{kind}' learns from logged data.*polytask train data:FILE"):
            prepare(asked(POINT, "--agent.kind", kind)[0], tmp_path)
    assert not any(AGENTS[kind].from_data for kind in ("brc", "sac", "dqn"))
