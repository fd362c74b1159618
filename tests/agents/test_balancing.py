"""Tasks that count by their temperatures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import brc, sac
from polytask.agents.balancing import row_weights, weight_metrics, weighted
from polytask.losses import temperature_weights
from tests.agents.cases import ACTIONS, BATCH, BRC, SAC, both_tasks, brc_case, make_batches, sac_case

BY = ("temperature", "inverse-temperature")
weights_of = jax.jit(temperature_weights, static_argnums=1)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e3, 1e12])
def test_weights_are_one_in_the_mean_and_fall_with_the_temperature(by, scale):
    weights = np.asarray(weights_of(jnp.log(scale * jnp.array([1.0, 2.0, 4.0])), by))
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    assert (np.diff(weights) <= 0).all()
    np.testing.assert_allclose(weights_of(jnp.log(jnp.full(3, scale)), by), 1, rtol=1e-5)


def test_weights_are_those_of_the_equations():
    alpha = np.array([0.5, 1.0, 4.0])
    for by, share in zip(BY, (np.exp(-alpha), 1 / alpha), strict=True):
        weights = weights_of(jnp.log(jnp.asarray(alpha, jnp.float32)), by)
        np.testing.assert_allclose(weights, 3 * share / share.sum(), rtol=1e-5)


def test_a_single_task_and_none_change_nothing():
    for by in BY:
        np.testing.assert_array_equal(weights_of(jnp.array([-3.0]), by), [1.0])
    ids = jnp.zeros(4, jnp.int32)
    assert row_weights(SAC, jnp.zeros(2), ids) is None
    assert weight_metrics(SAC, jnp.zeros(2)) == {}
    losses = jnp.ones((2, 4))
    assert weighted(losses, None) is losses


def halves():
    """A batch whose first half is of task 0, and each half by itself."""
    batch = jax.tree.map(lambda x: x[0], make_batches(np.repeat([[0, 1]], BATCH // 2, axis=1)))
    parts = [jax.tree.map(lambda x, part=part: x[part], batch) for part in (slice(BATCH // 2), slice(BATCH // 2, None))]
    return batch, parts, jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, ACTIONS)), jnp.float32)


@pytest.mark.parametrize("kind", ["sac", "brc"])
def test_a_task_s_rows_count_by_its_weight(kind):
    (batch, parts, noise), weights = halves(), jnp.array([0.5, 1.5])
    if kind == "sac":
        case = sac_case()

        def losses(batch, noise, weights=None):
            critic = sac.critic_loss(SAC, case.facts, case.state.critic, case.state, batch, noise, weights)
            return critic, sac.actor_loss(case.facts, case.state.actor, case.state, batch, noise, weights)[0]
    else:
        case = brc_case()

        def losses(batch, noise, weights=None):
            target = brc.critic_target(BRC, case.facts, case.state, batch, noise)
            critic = brc.critic_loss(BRC, case.facts, case.state.critic, batch, target, weights)
            return critic, brc.actor_loss(BRC, case.facts, case.state.actor, case.state, batch, noise, weights)[0]

    losses = jax.jit(losses)
    alone = [np.array(losses(part, own)) for part, own in zip(parts, jnp.split(noise, 2), strict=True)]
    whole = np.array(losses(batch, noise, weights[batch.task_ids]))
    np.testing.assert_allclose(whole, (0.5 * alone[0] + 1.5 * alone[1]) / 2, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sac", "brc"])
def test_an_update_weighs_and_says_so(kind):
    case, algorithm = (sac_case(), sac) if kind == "sac" else (brc_case(), brc)
    config = dataclasses.replace(
        case.config, task_balancing="inverse-temperature", **({} if kind == "sac" else {"temperature": "per-task"})
    )
    state = dataclasses.replace(case.state, log_temperature=jnp.log(jnp.array([0.1, 0.3])))
    if kind == "brc":
        fresh = brc.make_optimisers(config).temperature.init(state.log_temperature)
        state = dataclasses.replace(state, temperature_optimiser=fresh)
    after, metrics = jax.eval_shape(
        lambda *a: algorithm.update(config, case.facts, *a), state, both_tasks(), jnp.ones(2), jax.random.key(0)
    )
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert metrics["critic_weight"].shape == metrics["actor_weight"].shape == (2,)
    np.testing.assert_allclose(weight_metrics(config, state.log_temperature)["critic_weight"], [1.5, 0.5], rtol=1e-5)


def test_what_cannot_be_balanced_is_said():
    with pytest.raises(ValueError, match=r"they share one: give --agent.temperature per-task"):
        dataclasses.replace(BRC, task_balancing="temperature")
    with pytest.raises(ValueError, match="leave one of them out"):
        dataclasses.replace(BRC, task_balancing="temperature", temperature="per-task", critic_combiner="pcgrad")
