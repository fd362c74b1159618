"""Multi-task double DQN (van Hasselt et al. 2016, arXiv 1509.06461), the baseline for tasks that choose.

One network with a head for each task; with `critic_loss="cross-entropy"` each choice has a distribution (C51, Bellemare
et al. 2017, arXiv 1707.06887). Acts epsilon-greedily; rewards are raw, times `reward_multiplier`.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.base import Acting, Algorithm, TaskFacts, polyak
from polytask.agents.choosing import by_choice, drawn_epsilon_greedily, epsilon_after, of_chosen, split
from polytask.agents.config import DQNConfig
from polytask.agents.observing import encoded, image_features
from polytask.losses import (
    categorical_td_target,
    cross_entropy,
    expected_value,
    greedy,
    optimiser_step,
    soft_td_target,
)
from polytask.networks import CriticEnsemble, NoTaskFeatures, TaskHead, make_trunk
from polytask.networks.critic import CriticMember
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet


class DQNState(eqx.Module):
    """Everything that DQN learns; the critic is one network."""

    critic: CriticEnsemble
    target_critic: CriticEnsemble
    critic_optimiser: Any
    updates: Int[Array, ""]
    actor: None = None


def init(config: DQNConfig, tasks: TaskSet, key: PRNGKeyArray) -> DQNState:
    """Fresh parameters."""
    key_critic, key_images = jax.random.split(key)
    conditioning = NoTaskFeatures()
    encoder = image_features(config, tasks, conditioning.dim, key=key_images)
    seen = tasks.observation_dim + (encoder.width if encoder else 0)
    outputs = config.bins if config.critic_loss == "cross-entropy" else 1

    def make_member(member_key: PRNGKeyArray) -> CriticMember:
        key_trunk, key_head = jax.random.split(member_key)
        trunk = make_trunk(config.trunk, seen, conditioning.dim, config.width, config.depth, key=key_trunk)
        return CriticMember(trunk, TaskHead(trunk.width, outputs, len(tasks), tasks.choices, key=key_head, scale=1.0))

    critic = CriticEnsemble(1, conditioning, make_member, encoder, tasks.choices, key=key_critic)
    optimiser = optax.adam(config.learning_rate).init(eqx.filter(critic, eqx.is_array))
    return DQNState(critic, jax.tree.map(jnp.copy, critic), optimiser, jnp.int32(0))


def _probs_and_q(
    config: DQNConfig, outputs: Float[Array, "1 batch outputs"], choices: int
) -> tuple[Float[Array, "batch choices _"], Float[Array, "batch choices"]]:
    """Each choice's distribution, or its value alone in its place; and its value."""
    each = by_choice(outputs, choices)[0]
    if config.critic_loss == "huber":
        return each, each[..., 0]
    probs = jax.nn.softmax(each, axis=-1)
    return probs, jax.vmap(jax.vmap(expected_value, (0, None)), (0, None))(probs, config.v_max)


def _outputs(critic: CriticEnsemble, observations: Any, facts: TaskFacts, task_ids: Array) -> Array:
    return critic(encoded(critic, observations, task_ids), facts.action_mask[task_ids], task_ids)


def critic_target(config: DQNConfig, facts: TaskFacts, state: DQNState, batch: Batch) -> Float[Array, "batch outputs"]:
    """r + gamma Z(s', a'), Z of the target network and a' the best of the network that learns."""
    _, online = _probs_and_q(
        config, _outputs(state.critic, batch.next_observations, facts, batch.task_ids), state.critic.choices
    )
    best = jax.vmap(greedy)(online, facts.choice_mask[batch.task_ids])
    outputs = _outputs(state.target_critic, batch.next_observations, facts, batch.task_ids)
    each, _ = _probs_and_q(config, outputs, state.critic.choices)
    taken = jnp.take_along_axis(each, best[:, None, None], axis=1)[:, 0]
    rewards, discounts = config.reward_multiplier * batch.rewards, facts.discount[batch.task_ids] * batch.continues
    nothing = jnp.zeros_like(rewards)  # no bonus of entropy
    if config.critic_loss == "huber":
        return jax.vmap(soft_td_target)(rewards, discounts, nothing, taken[:, 0])[:, None]
    return jax.vmap(categorical_td_target, (0, 0, 0, 0, None))(rewards, discounts, nothing, taken, config.v_max)


def critic_loss(
    config: DQNConfig, facts: TaskFacts, critic: CriticEnsemble, batch: Batch, target: Float[Array, "batch outputs"]
) -> Float[Array, ""]:
    """Of the choice that was taken, averaged over the batch: Huber's with threshold 1, or cross-entropy."""
    _, chosen = split(batch.actions, facts.action_mask.shape[-1])
    taken = of_chosen(_outputs(critic, batch.observations, facts, batch.task_ids), chosen, critic.choices)[0]
    if config.critic_loss == "huber":
        return optax.losses.huber_loss(taken, target).mean()
    return jax.vmap(cross_entropy)(target, taken).mean()


def _loss_and_gradient(
    config: DQNConfig, facts: TaskFacts, state: DQNState, batch: Batch
) -> tuple[Float[Array, ""], CriticEnsemble]:
    target = critic_target(config, facts, state, batch)
    return jax.value_and_grad(lambda critic: critic_loss(config, facts, critic, batch, target))(state.critic)


def _update_one(
    config: DQNConfig, facts: TaskFacts, state: DQNState, batch: Batch
) -> tuple[DQNState, dict[str, Array]]:
    loss, grads = _loss_and_gradient(config, facts, state, batch)
    adam = optax.adam(config.learning_rate)
    critic, optimiser = optimiser_step(adam, state.critic, grads, state.critic_optimiser)
    updates = state.updates + 1
    if config.target_every:
        copied = updates % config.target_every == 0
        followed = jax.tree.map(lambda new, old: jnp.where(copied, new, old), critic, state.target_critic)
    else:
        followed = polyak(critic, state.target_critic, config.tau)
    state = dataclasses.replace(
        state, critic=critic, target_critic=followed, critic_optimiser=optimiser, updates=updates
    )
    return state, {"critic_loss": loss, "epsilon": epsilon_after(updates, config.epsilon_updates, loss.dtype)}


def update(
    config: DQNConfig,
    facts: TaskFacts,
    state: DQNState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> tuple[DQNState, dict[str, Float[Array, ""]]]:
    """A gradient step for each batch along the leading axis. Neither `return_bound` nor `key` is used."""
    state, metrics = jax.lax.scan(partial(_update_one, config, facts), state, batches)
    return state, jax.tree.map(lambda m: m[-1], metrics)


def diagnose(
    config: DQNConfig,
    facts: TaskFacts,
    state: DQNState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> dict[str, Float[Array, " tasks"]]:
    """Per-task loss, value and gradient norm; `batches` has shape (tasks, batch, ...)."""

    def one(batch: Batch) -> dict[str, Array]:
        loss, grads = _loss_and_gradient(config, facts, state, batch)
        outputs = _outputs(state.critic, batch.observations, facts, batch.task_ids)
        q = _best(config, facts, outputs, batch.task_ids)
        return {"critic_loss": loss, "critic_gradient_norm": optax.tree.norm(grads), "q_mean": q.mean()}

    return jax.lax.map(one, batches)


def _best(
    config: DQNConfig, facts: TaskFacts, outputs: Float[Array, "1 batch outputs"], task_ids: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    _, q = _probs_and_q(config, outputs, facts.choice_mask.shape[-1])
    return jnp.where(facts.choice_mask[task_ids], q, -jnp.inf).max(axis=-1)


def values(
    config: DQNConfig,
    facts: TaskFacts,
    state: DQNState,
    outputs: Float[Array, "1 batch outputs"],
    task_ids: Int[Array, " batch"],
    return_bound: Float[Array, " tasks"],
) -> Float[Array, " batch"]:
    """The best choice's value in raw reward units."""
    return _best(config, facts, outputs, task_ids) / config.reward_multiplier


def choose(
    config: DQNConfig,
    facts: TaskFacts,
    acting: Acting,
    outputs: Float[Array, "1 batch outputs"],
    task_ids: Int[Array, " batch"],
    key: PRNGKeyArray | None,
) -> Int[Array, " batch"]:
    """The best choice; with a key epsilon-greedily."""
    _, q = _probs_and_q(config, outputs, facts.choice_mask.shape[-1])
    mask = facts.choice_mask[task_ids]
    if key is None or acting.updates is None:
        return jax.vmap(greedy)(q, mask)
    return drawn_epsilon_greedily(q, mask, acting.updates, config.epsilon_updates, key)


ALGORITHM = Algorithm(0.0, init, update, diagnose, values, choose=choose)
