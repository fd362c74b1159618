"""One update of BRC against the official code's, piece by piece (float32)."""

import dataclasses
from functools import partial

import equinox as eqx
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
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSet, TaskSpec
from tests.goldens import reference

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module", params=["brc_multitask", "brc_singletask"])
def case(request):
    """What was recorded, the configuration, the facts, the state before, the batch, and what ours come to."""
    golden = reference.load(request.param)
    count = int(golden["meta/num_tasks"])
    observation, action = golden["batch/observations"].shape[1], golden["batch/actions"].shape[1]
    spec = TaskSpec("t0", "gym", Vector(observation), Box((-1.0,) * action, (1.0,) * action), 400)
    tasks = TaskSet(tuple(dataclasses.replace(spec, name=f"t{i}") for i in range(count)))
    actor_width = golden["before/actor/Dense_0/kernel"].shape[0]
    config = BRCConfig(
        critic_width=int(golden["meta/width_critic"]), actor_width=actor_width, mask_padded_actions=False
    )
    facts = task_facts(tasks, mask_padded_actions=False, entropy_per_dimension=brc.ENTROPY_PER_DIMENSION)
    shapes = eqx.filter_eval_shape(partial(brc.init, config, tasks), jax.random.key(0))
    fresh = ("actor_optimiser", "critic_optimiser", "temperature_optimiser", "task_entropy")
    state = dataclasses.replace(
        shapes,
        critic=reference.critic(shapes.critic, golden, "before/critic"),
        target_critic=reference.critic(shapes.critic, golden, "before/target_critic"),
        actor=reference.actor(shapes.actor, golden, "before/actor"),
        log_temperature=jnp.asarray(golden["before/log_temperature/log_temp"]),
        **{name: jax.tree.map(zeros, getattr(shapes, name)) for name in fresh},
    )
    batch = Batch(
        *(
            jnp.asarray(golden[f"batch/{name}"])
            for name in ("observations", "actions", "rewards", "masks", "next_observations", "task_ids")
        )
    )
    updated = reference.critic(shapes.critic, golden, "after/critic")
    recorded = {name: golden[name] for name in RECORDED}
    ours = jax.jit(partial(computed, config, facts))(state, batch, updated, recorded)
    return golden, config, facts, state, batch, ours


def zeros(shape):
    return jnp.asarray(np.zeros(shape.shape, shape.dtype))


RECORDED = (
    *("critic_step/next_noise", "critic_step/next_actions", "critic_step/next_logits", "critic_step/next_log_probs"),
    *("critic_step/target_probs", "actor_step/noise"),
)


def computed(config, facts, state, batch, updated, recorded):
    """All that is compared, as one program, from what was recorded; `updated` is the official critic after its step."""
    noise, ids = recorded["critic_step/next_noise"], batch.task_ids
    features, mask = state.critic.conditioning(ids), facts.action_mask[ids]
    found = {
        "next": sample_actions(state.actor, batch.next_observations, features, ids, mask, noise),
        "gaussian": state.actor(batch.next_observations, features, ids),
        "logits": state.critic(batch.observations, batch.actions, ids),
        "next_logits": state.target_critic(batch.next_observations, recorded["critic_step/next_actions"], ids),
    }
    probs = jax.nn.softmax(recorded["critic_step/next_logits"], axis=-1).mean(axis=0)
    bonus = -jnp.exp(state.log_temperature) * recorded["critic_step/next_log_probs"]
    discounts = facts.discount[ids] * batch.continues
    project = jax.vmap(partial(categorical_td_target, v_max=config.v_max))
    found["projection"] = project(batch.rewards, discounts, bonus, probs)

    target = recorded["critic_step/target_probs"]
    critic_loss = jax.value_and_grad(lambda critic: brc.critic_loss(config, facts, critic, batch, target))
    loss, gradient = critic_loss(state.critic)
    found["critic"] = loss, optax.tree.norm(gradient)

    with_critic = dataclasses.replace(state, critic=updated)
    actor_loss = jax.value_and_grad(partial(brc.actor_loss, config, facts), has_aux=True)
    (loss, _), gradient = actor_loss(state.actor, with_critic, batch, recorded["actor_step/noise"])
    found["actor"] = loss, optax.tree.norm(gradient)

    key = jax.random.key(0)
    after, *_ = brc.critic_step(config, facts, state, batch, noise, key, jnp.ones(len(facts.discount)))
    found["after"] = brc.actor_step(config, facts, after, batch, recorded["actor_step/noise"], key)
    return found


def assert_trees_close(ours, theirs, **tolerance):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, err_msg=jax.tree_util.keystr(path), **tolerance)


def test_next_actions_and_log_probabilities(case):
    golden, *_, ours = case
    noise, (actions, log_probs), (mean, log_std) = golden["critic_step/next_noise"], ours["next"], ours["gaussian"]
    np.testing.assert_allclose(actions, golden["critic_step/next_actions"], **CLOSE)
    np.testing.assert_allclose(log_probs, exact_log_probs(mean, log_std, noise), rtol=1e-5, atol=1e-5)
    # The official code recovers the noise as (x - mean) / std from a rounded x = mean + std noise. Where the deviation
    # is small that costs it up to four digits: so much may it differ, and no more.
    rounding = np.finfo(np.float32).eps * np.abs(mean + np.exp(log_std) * noise) / np.exp(log_std)
    allowed = 2e-5 + np.sum(np.abs(noise) * rounding, axis=1) * 1.5
    assert (np.abs(log_probs - golden["critic_step/next_log_probs"]) <= allowed).all()


def exact_log_probs(mean, log_std, noise):
    """From the definition, in float64, given the Gaussian."""
    mean, log_std, noise = np.float64(mean), np.float64(log_std), np.float64(noise)
    x = mean + np.exp(log_std) * noise
    log_normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return (log_normal - 2 * (np.log(2) - x - np.logaddexp(0, -2 * x))).sum(axis=1)


def test_logits(case):
    golden, *_, ours = case
    np.testing.assert_allclose(ours["logits"], golden["critic_step/logits"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours["next_logits"], golden["critic_step/next_logits"], rtol=1e-5, atol=1e-5)


def test_projection(case):
    golden, *_, ours = case
    np.testing.assert_allclose(ours["projection"].sum(axis=1), 1.0, rtol=1e-5)
    # A position of up to 100 bins has a float32 spacing of 8e-6, and a share of a bin is no more exact than that.
    np.testing.assert_allclose(ours["projection"], golden["critic_step/target_probs"], rtol=1e-5, atol=8e-6)


def test_critic_loss_and_gradient_norm(case):
    golden, *_, ours = case
    loss, norm = ours["critic"]
    np.testing.assert_allclose(loss, golden["critic_step/loss"], rtol=1e-5)
    np.testing.assert_allclose(norm, golden["critic_step/grad_norm"], rtol=1e-5)


def test_full_update(case):
    """Critic and target, then the actor with the updated critic, then the temperature.

    The first AdamW step moves every weight by about the learning rate times the gradient's sign, so weights whose
    gradient is at rounding level may differ by up to twice the rate (6e-4); all others agree to 1e-5.
    """
    golden, *_, ours = case
    state, metrics = ours["after"]
    for critic, path in ((state.critic, "after/critic"), (state.target_critic, "after/target_critic")):
        theirs = reference.critic(critic, golden, path)
        assert_trees_close(critic, theirs, rtol=1e-5, atol=6.1e-4)
        assert_mostly_close(critic, theirs)
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
    golden, *_, ours = case
    loss, norm = ours["actor"]
    np.testing.assert_allclose(loss, golden["actor_step/loss"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm, golden["actor_step/grad_norm"], rtol=1e-5)


def test_return_bounds_and_reward_scale(case):
    golden, config, facts, state, batch, _ = case
    rewards, tasks = golden["normalizer/rewards"], golden["normalizer/rewards"].shape[1]
    bounds = ReturnBounds(np.full(tasks, 0.99, np.float32), horizon=len(rewards))
    for r, terminated, truncated in zip(
        rewards, golden["normalizer/terminated"], golden["normalizer/truncated"], strict=True
    ):
        bounds.update(r, terminated, truncated, np.ones(tasks, bool))
    np.testing.assert_allclose(bounds.low, golden["normalizer/return_min"], rtol=1e-5)
    np.testing.assert_allclose(bounds.high, golden["normalizer/return_max"], rtol=1e-5)
    scale = jax.jit(partial(brc.reward_scale, config, facts))(
        np.log(golden["normalizer/temperature"]), state.task_entropy, bounds.bound
    )
    rewards = np.asarray(batch.rewards) * np.asarray(scale)[batch.task_ids]
    np.testing.assert_allclose(rewards, golden["normalizer/batch_rewards"], rtol=1e-5)
