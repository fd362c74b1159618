"""Multi-task, multi-head SAC (Haarnoja et al. 2018, arXiv 1801.01290), the baseline that BRC is held against.

As Meta-World's MT-SAC: a shared ReLU trunk with one head for each task in actor and critics, the minimum of two target
critics, a temperature for each task, raw rewards, target entropy -|A|. One-hot features of the tasks and one head for
all of them, and other trunks, are switches. Batch, rates and updates per step default to
BRC's, so that both see the same data.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.balancing import row_weights, weight_metrics, weighted
from polytask.agents.base import Algorithm, TaskFacts, diagnose_tasks, polyak, sample_actions
from polytask.agents.config import SACConfig
from polytask.agents.observing import vectors_of
from polytask.losses import optimiser_step, soft_policy_loss, soft_td_target, temperature_loss
from polytask.networks import CriticEnsemble, GaussianActor, NoTaskFeatures, OneHotTasks, TaskHead, make_trunk
from polytask.networks.critic import CriticMember
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet

ENTROPY_PER_DIMENSION = -1.0


class SACState(eqx.Module):
    """Everything that SAC learns."""

    actor: GaussianActor
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    log_temperature: Float[Array, " tasks"]
    actor_optimiser: Any
    critic_optimiser: Any
    temperature_optimiser: Any


def init(config: SACConfig, tasks: TaskSet, key: PRNGKeyArray) -> SACState:
    """Fresh parameters."""
    key_critic, key_actor, key_heads = jax.random.split(key, 3)
    observations, actions, count = tasks.observation_dim, tasks.action_dim, len(tasks)

    def make_member(member_key: PRNGKeyArray) -> CriticMember:
        key_trunk, key_head = jax.random.split(member_key)
        sizes = (observations + actions, conditioning.dim, config.width, config.depth)
        trunk = make_trunk(config.trunk, *sizes, key=key_trunk)
        return CriticMember(trunk, TaskHead(trunk.width, 1, heads, key=key_head, scale=1.0))

    heads = count if config.conditioning.endswith("multi-head") else 1
    told = config.conditioning.startswith("one-hot") and count > 1
    conditioning = OneHotTasks(count) if told else NoTaskFeatures()
    critic = CriticEnsemble(2, conditioning, make_member, key=key_critic)
    trunk = make_trunk(config.trunk, observations, conditioning.dim, config.width, config.depth, key=key_actor)
    actor = GaussianActor(trunk, actions, heads, key=key_heads)
    log_temperature = jnp.log(jnp.full(count, config.initial_temperature, float))
    adam = optax.adam(config.learning_rate)
    return SACState(
        actor=actor,
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),
        log_temperature=log_temperature,
        actor_optimiser=adam.init(eqx.filter(actor, eqx.is_array)),
        critic_optimiser=adam.init(eqx.filter(critic, eqx.is_array)),
        temperature_optimiser=adam.init(log_temperature),
    )


def critic_loss(
    config: SACConfig,
    facts: TaskFacts,
    critic: CriticEnsemble,
    state: SACState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    weights: Float[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """Squared error to the soft target under the minimum of the two target critics, summed over the critics."""
    features = state.critic.conditioning(batch.task_ids)
    mask = facts.action_mask[batch.task_ids]
    actions, log_probs = sample_actions(
        state.actor, vectors_of(batch.next_observations), features, batch.task_ids, mask, noise
    )
    next_q = state.target_critic(vectors_of(batch.next_observations), actions, batch.task_ids)[..., 0].min(axis=0)
    bonus = -jnp.exp(state.log_temperature)[batch.task_ids] * log_probs
    discounts = facts.discount[batch.task_ids] * batch.continues
    rewards = config.reward_multiplier * batch.rewards
    target = jax.lax.stop_gradient(jax.vmap(soft_td_target)(rewards, discounts, bonus, next_q))
    q = critic(vectors_of(batch.observations), batch.actions, batch.task_ids)[..., 0]
    return weighted(jnp.square(q - target[None]), weights).mean(axis=1).sum()


def actor_loss(
    facts: TaskFacts,
    actor: GaussianActor,
    state: SACState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    weights: Float[Array, " batch"] | None = None,
) -> tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """The loss, with each sample's log-probability and value."""
    features = state.critic.conditioning(batch.task_ids)
    mask = facts.action_mask[batch.task_ids]
    actions, log_probs = sample_actions(actor, vectors_of(batch.observations), features, batch.task_ids, mask, noise)
    q = state.critic(vectors_of(batch.observations), actions, batch.task_ids)[..., 0].min(axis=0)
    temperatures = jnp.exp(state.log_temperature)[batch.task_ids]
    return weighted(jax.vmap(soft_policy_loss)(log_probs, q, temperatures), weights).mean(), (log_probs, q)


def _temperature_loss(
    log_temperature: Float[Array, " tasks"], facts: TaskFacts, task_ids: Int[Array, " batch"], entropy: Array
) -> Float[Array, ""]:
    losses = jax.vmap(temperature_loss)(log_temperature[task_ids], entropy, facts.target_entropy[task_ids])
    return losses.mean()


def _update_one(
    config: SACConfig, facts: TaskFacts, state: SACState, inputs: tuple[Batch, Array]
) -> tuple[SACState, dict[str, Array]]:
    batch, key = inputs
    noise = jax.random.normal(key, (2, *batch.actions.shape), batch.actions.dtype)
    adam = optax.adam(config.learning_rate)
    weights = row_weights(config, state.log_temperature, batch.task_ids)
    balance = weight_metrics(config, state.log_temperature)

    c_loss, grads = jax.value_and_grad(lambda c: critic_loss(config, facts, c, state, batch, noise[0], weights))(
        state.critic
    )
    critic, critic_optimiser = optimiser_step(adam, state.critic, grads, state.critic_optimiser)
    state = dataclasses.replace(
        state,
        critic=critic,
        critic_optimiser=critic_optimiser,
        target_critic=polyak(critic, state.target_critic, config.tau),
    )

    (a_loss, (log_probs, q)), grads = jax.value_and_grad(
        lambda a: actor_loss(facts, a, state, batch, noise[1], weights), has_aux=True
    )(state.actor)
    actor, actor_optimiser = optimiser_step(adam, state.actor, grads, state.actor_optimiser)

    grads = jax.grad(_temperature_loss)(state.log_temperature, facts, batch.task_ids, -log_probs)
    log_temperature, temperature_optimiser = optimiser_step(
        adam, state.log_temperature, grads, state.temperature_optimiser
    )
    state = dataclasses.replace(
        state,
        actor=actor,
        actor_optimiser=actor_optimiser,
        log_temperature=log_temperature,
        temperature_optimiser=temperature_optimiser,
    )
    metrics = {"critic_loss": c_loss, "actor_loss": a_loss, "entropy": -log_probs.mean(), "q_mean": q.mean()}
    return state, {**metrics, **balance, "temperature": jnp.exp(state.log_temperature).mean()}


def update(
    config: SACConfig,
    facts: TaskFacts,
    state: SACState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> tuple[SACState, dict[str, Array]]:
    """A gradient step for each batch along the leading axis. `return_bound` is not used: rewards stay raw."""
    keys = jax.random.split(key, batches.rewards.shape[0])
    state, metrics = jax.lax.scan(partial(_update_one, config, facts), state, (batches, keys))
    return state, jax.tree.map(lambda m: m[-1], metrics)


def diagnose(
    config: SACConfig,
    facts: TaskFacts,
    state: SACState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> dict[str, Float[Array, " tasks"]]:
    """Per-task losses, entropy, value and gradient norms; `batches` has shape (tasks, batch, ...)."""
    metrics = diagnose_tasks(
        state,
        batches,
        key,
        lambda critic, batch, noise: critic_loss(config, facts, critic, state, batch, noise),
        lambda actor, batch, noise: actor_loss(facts, actor, state, batch, noise),
        facts.action_mask.shape[-1],
    )
    return {**metrics, "temperature": jnp.exp(state.log_temperature)}


def values(
    config: SACConfig,
    facts: TaskFacts,
    state: SACState,
    outputs: Float[Array, "members batch outputs"],
    task_ids: Int[Array, " batch"],
    return_bound: Float[Array, " tasks"],
) -> Float[Array, " batch"]:
    """The smaller of the critics' values, in raw reward units."""
    return outputs[..., 0].min(axis=0) / config.reward_multiplier


ALGORITHM = Algorithm(ENTROPY_PER_DIMENSION, init, update, diagnose, values)
