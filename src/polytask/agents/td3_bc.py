"""TD3+BC from logged data (Fujimoto and Gu 2021, arXiv 2106.06860), for several tasks.

One update: (1) both critics learn r + gamma min Q'(s', pi'(s') + clipped noise) (TD3, arXiv 1802.09477); (2) at every
second step the actor minimises -lambda Q1(s, pi(s)) + (pi(s) - a)^2 with lambda = alpha / mean |Q1| (equations 3 and
5), and the targets follow.

Deviations: networks are conditioned on the task, and lambda is normalised in each task apart; kernels are orthogonal;
observations are clipped at ten deviations, whose floor is 0.01 (paper: 0.001, no clip); rewards are scaled unless
`normalise_rewards` is off.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.base import Algorithm, TaskFacts, diagnose_tasks, polyak
from polytask.agents.from_data import (
    Parts,
    adam,
    bootstrapped,
    one_hot,
    prepared,
    q_of,
    td_loss,
    values,
    without_entropy,
)
from polytask.agents.moments import Moments
from polytask.agents.observing import vectors_of
from polytask.agents.offline_config import TD3BCConfig
from polytask.losses import behaviour_distance, optimiser_step, value_normalisation
from polytask.networks import CriticEnsemble, DeterministicActor
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet


class TD3BCState(eqx.Module):
    """Everything that TD3+BC learns."""

    actor: DeterministicActor
    target_actor: DeterministicActor
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    actor_optimiser: Any
    critic_optimiser: Any
    moments: Moments | None
    updates: Int[Array, ""]


def init(config: TD3BCConfig, tasks: TaskSet, key: PRNGKeyArray) -> TD3BCState:
    """Fresh parameters."""
    parts = Parts(config, tasks, key)
    actor = DeterministicActor(parts.trunk(), tasks.action_dim, parts.heads, key=parts.key())
    critic = parts.critics()
    return TD3BCState(
        actor=actor,
        target_actor=jax.tree.map(jnp.copy, actor),
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),
        actor_optimiser=adam(config).init(eqx.filter(actor, eqx.is_array)),
        critic_optimiser=adam(config).init(eqx.filter(critic, eqx.is_array)),
        moments=parts.moments(),
        updates=jnp.int32(0),
    )


def policy(
    actor: DeterministicActor, critic: CriticEnsemble, facts: TaskFacts, observations: Array, task_ids: Array
) -> Float[Array, "batch action"]:
    """Actions in [-1, 1], zero where padded; task features are the critic's."""
    mean, _ = actor(observations, critic.conditioning(task_ids), task_ids)
    return jnp.tanh(mean) * facts.action_mask[task_ids]


def critic_target(
    config: TD3BCConfig, facts: TaskFacts, state: TD3BCState, batch: Batch, noise: Float[Array, "batch action"]
) -> Float[Array, " batch"]:
    """r + gamma min Q'(s', pi'(s') + noise), the noise clipped, the action too."""
    ids, seen = batch.task_ids, vectors_of(batch.next_observations)
    noise = jnp.clip(config.target_noise * noise, -config.noise_clip, config.noise_clip)
    actions = policy(state.target_actor, state.critic, facts, seen, ids) + noise * facts.action_mask[ids]
    return bootstrapped(facts, batch, q_of(state.target_critic, seen, jnp.clip(actions, -1, 1), ids).min(axis=0))


def actor_loss(
    config: TD3BCConfig, facts: TaskFacts, actor: DeterministicActor, state: TD3BCState, batch: Batch
) -> tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """The loss, with zeros for log-probabilities and each sample's value."""
    ids, mask = batch.task_ids, facts.action_mask[batch.task_ids]
    actions = policy(actor, state.critic, facts, vectors_of(batch.observations), ids)
    q = q_of(state.critic, vectors_of(batch.observations), actions, ids)[0]
    weight = value_normalisation(q, one_hot(facts, ids, q), config.alpha)
    distance = jax.vmap(behaviour_distance)(actions, batch.actions, mask)
    return (distance - weight * q).mean(), (jnp.zeros_like(q), q)


def _update_one(
    config: TD3BCConfig, facts: TaskFacts, state: TD3BCState, inputs: tuple[Batch, Array]
) -> tuple[TD3BCState, dict[str, Array]]:
    batch, key = inputs
    noise = jax.random.normal(key, batch.actions.shape, batch.actions.dtype)
    target = critic_target(config, facts, state, batch, noise)
    c_loss, grads = jax.value_and_grad(td_loss)(state.critic, batch, target)
    critic, critic_optimiser = optimiser_step(adam(config), state.critic, grads, state.critic_optimiser)
    state = dataclasses.replace(state, critic=critic, critic_optimiser=critic_optimiser, updates=state.updates + 1)

    def with_actor(state: TD3BCState) -> tuple[TD3BCState, Array, Array]:
        loss = partial(actor_loss, config, facts)
        (a_loss, (_, q)), grads = jax.value_and_grad(lambda a: loss(a, state, batch), has_aux=True)(state.actor)
        actor, actor_optimiser = optimiser_step(adam(config), state.actor, grads, state.actor_optimiser)
        moved = dataclasses.replace(
            state,
            actor=actor,
            actor_optimiser=actor_optimiser,
            target_actor=polyak(actor, state.target_actor, config.tau),
            target_critic=polyak(state.critic, state.target_critic, config.tau),
        )
        return moved, a_loss, q.mean()

    def without(state: TD3BCState) -> tuple[TD3BCState, Array, Array]:
        return state, jnp.zeros_like(c_loss), jnp.zeros_like(c_loss)

    due = state.updates % config.actor_every == 0
    state, a_loss, q = jax.lax.cond(due, with_actor, without, state)
    return state, {"critic_loss": c_loss, "actor_loss": a_loss, "q_mean": q}


def update(
    config: TD3BCConfig,
    facts: TaskFacts,
    state: TD3BCState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> tuple[TD3BCState, dict[str, Float[Array, ""]]]:
    """A gradient step for each batch along the leading axis; the critic's loss is the last, the actor's of a step it
    took among the last `actor_every`, as far as there are so many."""
    batches = prepared(config, state.moments, batches, return_bound)
    keys = jax.random.split(key, batches.rewards.shape[0])
    state, metrics = jax.lax.scan(partial(_update_one, config, facts), state, (batches, keys))
    last = jax.tree.map(lambda m: m[-config.actor_every :].sum(), metrics)
    return state, {**last, "critic_loss": metrics["critic_loss"][-1]}


def diagnose(
    config: TD3BCConfig,
    facts: TaskFacts,
    state: TD3BCState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> dict[str, Float[Array, " tasks"]]:
    """Per-task losses, value and gradient norms; `batches` has shape (tasks, batch, ...)."""
    metrics = diagnose_tasks(
        state,
        prepared(config, state.moments, batches, return_bound),
        key,
        lambda critic, batch, noise: td_loss(critic, batch, critic_target(config, facts, state, batch, noise)),
        lambda actor, batch, noise: actor_loss(config, facts, actor, state, batch),
        facts.action_mask.shape[-1],
    )
    return without_entropy(metrics)


ALGORITHM = Algorithm(0.0, init, update, diagnose, values)
