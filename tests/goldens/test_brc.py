"""One update of BRC against the official code's, piece by piece (float32)."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from polytask.agents import brc
from polytask.agents.base import sample_actions, task_facts
from polytask.agents.config import BRCConfig
from polytask.losses import categorical_td_target
from polytask.replay import ReturnBounds
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet, TaskSpec
from tests.goldens import reference

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module", params=["brc_multitask", "brc_singletask"])
def case(request):
    golden = reference.load(request.param)
    count = int(golden["meta/num_tasks"])
    observation, action = golden["batch/observations"].shape[1], golden["batch/actions"].shape[1]
    spec = TaskSpec("t0", "gym", observation, (-1.0,) * action, (1.0,) * action, 400)
    tasks = TaskSet(tuple(dataclasses.replace(spec, name=f"t{i}") for i in range(count)))
    actor_width = golden["before/actor/Dense_0/kernel"].shape[0]
    config = BRCConfig(
        critic_width=int(golden["meta/width_critic"]), actor_width=actor_width, mask_padded_actions=False
    )
    facts = task_facts(tasks, mask_padded_actions=False, entropy_per_dimension=brc.ENTROPY_PER_DIMENSION)
    state = brc.init(config, tasks, jax.random.key(0))
    critic = reference.critic(state.critic, golden, "before/critic")
    actor = reference.actor(state.actor, golden, "before/actor")
    optimisers = brc.make_optimisers(config)
    state = dataclasses.replace(
        state,
        critic=critic,
        target_critic=reference.critic(state.critic, golden, "before/target_critic"),
        actor=actor,
        log_temperature=jnp.asarray(golden["before/log_temperature/log_temp"]),
        critic_optimiser=optimisers.network.init(critic),
        actor_optimiser=optimisers.network.init(actor),
    )
    batch = Batch(
        *(
            jnp.asarray(golden[f"batch/{name}"])
            for name in ("observations", "actions", "rewards", "masks", "next_observations", "task_ids")
        )
    )
    return golden, config, facts, state, batch


def assert_trees_close(ours, theirs, **tolerance):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, err_msg=jax.tree_util.keystr(path), **tolerance)


def test_next_actions_and_log_probabilities(case):
    golden, _, facts, state, batch = case
    features, mask = state.critic.conditioning(batch.task_ids), facts.action_mask[batch.task_ids]
    noise = jnp.asarray(golden["critic_step/next_noise"])
    inputs = (state.actor, batch.next_observations, features, batch.task_ids, mask)
    actions, log_probs = sample_actions(*inputs, noise)
    np.testing.assert_allclose(actions, golden["critic_step/next_actions"], **CLOSE)
    np.testing.assert_allclose(log_probs, exact_log_probs(state, batch, features, noise), rtol=1e-5, atol=1e-5)
    # The official code recovers the noise as (x - mean) / std from a rounded x = mean + std noise. Where the deviation
    # is small that costs it up to four digits: so much may it differ, and no more.
    mean, log_std = state.actor(batch.next_observations, features, batch.task_ids)
    rounding = np.finfo(np.float32).eps * np.abs(mean + jnp.exp(log_std) * noise) / jnp.exp(log_std)
    allowed = 2e-5 + np.sum(np.abs(noise) * rounding, axis=1) * 1.5
    assert (np.abs(log_probs - golden["critic_step/next_log_probs"]) <= allowed).all()


def exact_log_probs(state, batch, features, noise):
    """From the definition, in float64, given the Gaussian."""
    mean, log_std = (np.float64(x) for x in state.actor(batch.next_observations, features, batch.task_ids))
    noise = np.float64(noise)
    x = mean + np.exp(log_std) * noise
    log_normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return (log_normal - 2 * (np.log(2) - x - np.logaddexp(0, -2 * x))).sum(axis=1)


def test_logits(case):
    golden, _, _, state, batch = case
    logits = state.critic(batch.observations, batch.actions, batch.task_ids)
    np.testing.assert_allclose(logits, golden["critic_step/logits"], rtol=1e-5, atol=1e-5)
    target = state.target_critic(
        batch.next_observations, jnp.asarray(golden["critic_step/next_actions"]), batch.task_ids
    )
    np.testing.assert_allclose(target, golden["critic_step/next_logits"], rtol=1e-5, atol=1e-5)


def test_projection(case):
    golden, config, facts, state, batch = case
    probs = jax.nn.softmax(jnp.asarray(golden["critic_step/next_logits"]), axis=-1).mean(axis=0)
    bonus = -jnp.exp(state.log_temperature) * golden["critic_step/next_log_probs"]
    discounts = facts.discount[batch.task_ids] * batch.continues
    project = jax.jit(jax.vmap(partial(categorical_td_target, v_max=config.v_max)))
    target = project(batch.rewards, discounts, bonus, probs)
    np.testing.assert_allclose(target.sum(axis=1), 1.0, rtol=1e-5)
    # A position of up to 100 bins has a float32 spacing of 8e-6, and a share of a bin is no more exact than that.
    np.testing.assert_allclose(target, golden["critic_step/target_probs"], rtol=1e-5, atol=8e-6)


def test_critic_loss_and_gradient_norm(case):
    golden, config, facts, state, batch = case
    target = jnp.asarray(golden["critic_step/target_probs"])
    grad = jax.jit(jax.value_and_grad(lambda critic: brc.critic_loss(config, facts, critic, batch, target)))
    loss, grads = grad(state.critic)
    np.testing.assert_allclose(loss, golden["critic_step/loss"], rtol=1e-5)
    np.testing.assert_allclose(optax.tree.norm(grads), golden["critic_step/grad_norm"], rtol=1e-5)


def test_full_update(case):
    """Critic and target, then the actor with the updated critic, then the temperature.

    The first AdamW step moves every weight by about the learning rate times the gradient's sign, so weights whose
    gradient is at rounding level may differ by up to twice the rate (6e-4); all others agree to 1e-5.
    """
    golden, config, facts, state, batch = case
    noise = jnp.asarray(golden["critic_step/next_noise"])
    state, _ = jax.jit(partial(brc.critic_step, config, facts))(state, batch, noise, jax.random.key(0))
    for ours, path in ((state.critic, "after/critic"), (state.target_critic, "after/target_critic")):
        theirs = reference.critic(ours, golden, path)
        assert_trees_close(ours, theirs, rtol=1e-5, atol=6.1e-4)
        assert_mostly_close(ours, theirs)
    noise = jnp.asarray(golden["actor_step/noise"])
    state, metrics = jax.jit(partial(brc.actor_step, config, facts))(state, batch, noise, jax.random.key(0))
    np.testing.assert_allclose(metrics["actor_loss"], golden["actor_step/loss"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(metrics["entropy"], golden["actor_step/entropy"], rtol=1e-5)
    theirs = reference.actor(state.actor, golden, "after/actor")
    assert_trees_close(state.actor, theirs, rtol=1e-5, atol=6.1e-4)
    assert_mostly_close(state.actor, theirs)
    np.testing.assert_allclose(state.log_temperature, golden["after/log_temperature/log_temp"], rtol=1e-6)


def assert_mostly_close(ours, theirs):
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (ours, theirs))
    assert np.mean(np.isclose(a, b, rtol=1e-5, atol=1e-6)) > 0.999


def test_actor_gradient_norm(case):
    golden, config, facts, state, batch = case
    state = dataclasses.replace(state, critic=reference.critic(state.critic, golden, "after/critic"))
    noise = jnp.asarray(golden["actor_step/noise"])
    loss_of = partial(brc.actor_loss, config, facts)
    (loss, _), grads = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(state.actor, state, batch, noise)
    np.testing.assert_allclose(loss, golden["actor_step/loss"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(optax.tree.norm(grads), golden["actor_step/grad_norm"], rtol=1e-5)


def test_return_bounds_and_reward_scale(case):
    golden, config, facts, state, batch = case
    rewards, tasks = golden["normalizer/rewards"], golden["normalizer/rewards"].shape[1]
    bounds = ReturnBounds(np.full(tasks, 0.99, np.float32), horizon=len(rewards))
    for r, terminated, truncated in zip(
        rewards, golden["normalizer/terminated"], golden["normalizer/truncated"], strict=True
    ):
        bounds.update(r, terminated, truncated, np.ones(tasks, bool))
    np.testing.assert_allclose(bounds.low, golden["normalizer/return_min"], rtol=1e-5)
    np.testing.assert_allclose(bounds.high, golden["normalizer/return_max"], rtol=1e-5)
    log_temperature = jnp.log(jnp.asarray(golden["normalizer/temperature"]))
    scale = brc.reward_scale(config, facts, log_temperature, state.task_entropy, jnp.asarray(bounds.bound))
    np.testing.assert_allclose(batch.rewards * scale[batch.task_ids], golden["normalizer/batch_rewards"], rtol=1e-5)
