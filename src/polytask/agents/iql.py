"""IQL from logged data (Kostrikov et al. 2021, arXiv 2110.06169), for several tasks.

One update: (1) V(s) learns an expectile of min Q'(s, a) over the logged actions (equation 5); (2) the actor maximises
exp(beta (min Q'(s, a) - V(s))) log pi(a | s), weights at most 100 (equation 7); (3) both critics learn r + gamma V(s')
(equation 6), and their target follows. No action but a logged one is ever asked for its value.

The policy is, as in the authors' code, normal around tanh of the mean with a deviation that does not depend on the
state. Deviations: networks are conditioned on the task, each task has a deviation of its own; the actor's learning rate
stays (the code anneals it); rewards are scaled unless `normalise_rewards` is off, and beta is per unit of that scale.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.agents.base import Acting, Algorithm, TaskFacts, diagnose_tasks, polyak
from polytask.agents.from_data import Parts, adam, bootstrapped, prepared, q_of, td_loss, values
from polytask.agents.moments import Moments
from polytask.agents.observing import vectors_of
from polytask.agents.offline_config import IQLConfig
from polytask.losses import advantage_weight, expectile_loss, masked_normal_log_prob, optimiser_step
from polytask.networks import CriticEnsemble, TaskGaussianActor, TaskHead
from polytask.networks.critic import CriticMember
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet


class IQLState(eqx.Module):
    """Everything that IQL learns; `value` has the task features of the critic."""

    actor: TaskGaussianActor
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    value: CriticMember
    actor_optimiser: Any
    critic_optimiser: Any
    value_optimiser: Any
    moments: Moments | None


def init(config: IQLConfig, tasks: TaskSet, key: PRNGKeyArray) -> IQLState:
    """Fresh parameters."""
    parts = Parts(config, tasks, key)
    actor = TaskGaussianActor(parts.trunk(), tasks.action_dim, parts.heads, len(tasks), key=parts.key())
    trunk = parts.trunk()
    value = CriticMember(trunk, TaskHead(trunk.width, 1, parts.heads, key=parts.key(), scale=1.0))
    critic = parts.critics()
    return IQLState(
        actor=actor,
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),
        value=value,
        actor_optimiser=adam(config).init(eqx.filter(actor, eqx.is_array)),
        critic_optimiser=adam(config).init(eqx.filter(critic, eqx.is_array)),
        value_optimiser=adam(config).init(eqx.filter(value, eqx.is_array)),
        moments=parts.moments(),
    )


def value_of(value: CriticMember, state: IQLState, observations: Array, task_ids: Array) -> Float[Array, " batch"]:
    """V(s)."""
    return value(observations, state.critic.conditioning(task_ids), task_ids)[:, 0]


def logged_q(state: IQLState, batch: Batch) -> Float[Array, " batch"]:
    """min Q'(s, a) of the logged actions."""
    return q_of(state.target_critic, vectors_of(batch.observations), batch.actions, batch.task_ids).min(axis=0)


def value_loss(config: IQLConfig, value: CriticMember, state: IQLState, batch: Batch) -> Float[Array, ""]:
    """The expectile loss of V."""
    errors = logged_q(state, batch) - value_of(value, state, vectors_of(batch.observations), batch.task_ids)
    return jax.vmap(expectile_loss, (0, None))(errors, config.expectile).mean()


def actor_loss(
    config: IQLConfig, facts: TaskFacts, actor: TaskGaussianActor, state: IQLState, batch: Batch
) -> tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """The loss, with the log-probability and the value of each logged action."""
    ids, q = batch.task_ids, logged_q(state, batch)
    advantage = q - value_of(state.value, state, vectors_of(batch.observations), ids)
    weights = jax.lax.stop_gradient(jax.vmap(advantage_weight, (0, None))(advantage, config.inverse_temperature))
    mean, log_std = actor(vectors_of(batch.observations), state.critic.conditioning(ids), ids)
    log_probs = jax.vmap(masked_normal_log_prob)(batch.actions, jnp.tanh(mean), log_std, facts.action_mask[ids])
    return -(weights * log_probs).mean(), (log_probs, q)


def _target(facts: TaskFacts, state: IQLState, batch: Batch) -> Float[Array, " batch"]:
    return bootstrapped(facts, batch, value_of(state.value, state, vectors_of(batch.next_observations), batch.task_ids))


def _update_one(
    config: IQLConfig, facts: TaskFacts, state: IQLState, batch: Batch
) -> tuple[IQLState, dict[str, Array]]:
    adams = adam(config)
    v_loss, grads = jax.value_and_grad(lambda v: value_loss(config, v, state, batch))(state.value)
    value, value_optimiser = optimiser_step(adams, state.value, grads, state.value_optimiser)
    state = dataclasses.replace(state, value=value, value_optimiser=value_optimiser)

    loss = partial(actor_loss, config, facts)
    (a_loss, (log_probs, q)), grads = jax.value_and_grad(lambda a: loss(a, state, batch), has_aux=True)(state.actor)
    actor, actor_optimiser = optimiser_step(adams, state.actor, grads, state.actor_optimiser)

    c_loss, grads = jax.value_and_grad(td_loss)(state.critic, batch, _target(facts, state, batch))
    critic, critic_optimiser = optimiser_step(adams, state.critic, grads, state.critic_optimiser)
    state = dataclasses.replace(
        state,
        actor=actor,
        actor_optimiser=actor_optimiser,
        critic=critic,
        critic_optimiser=critic_optimiser,
        target_critic=polyak(critic, state.target_critic, config.tau),
    )
    metrics = {"critic_loss": c_loss, "actor_loss": a_loss, "value_loss": v_loss, "q_mean": q.mean()}
    return state, {**metrics, "entropy": -log_probs.mean()}


def update(
    config: IQLConfig,
    facts: TaskFacts,
    state: IQLState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> tuple[IQLState, dict[str, Float[Array, ""]]]:
    """A gradient step for each batch along the leading axis; nothing is drawn."""
    batches = prepared(config, state.moments, batches, return_bound)
    state, metrics = jax.lax.scan(partial(_update_one, config, facts), state, batches)
    return state, jax.tree.map(lambda m: m[-1], metrics)


def diagnose(
    config: IQLConfig,
    facts: TaskFacts,
    state: IQLState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> dict[str, Float[Array, " tasks"]]:
    """Per-task losses, entropy, value and gradient norms; `batches` has shape (tasks, batch, ...)."""
    return diagnose_tasks(
        state,
        prepared(config, state.moments, batches, return_bound),
        key,
        lambda critic, batch, noise: td_loss(critic, batch, _target(facts, state, batch)),
        lambda actor, batch, noise: actor_loss(config, facts, actor, state, batch),
        facts.action_mask.shape[-1],
    )


def act(
    config: IQLConfig,
    facts: TaskFacts,
    acting: Acting,
    seen: Float[Array, "batch observation"],
    task_ids: Array,
    key: PRNGKeyArray | None,
) -> Float[Array, "batch action"]:
    """tanh of the mean, with noise behind it where there is a key."""
    mean, log_std = acting.actor(seen, acting.critic.conditioning(task_ids), task_ids)
    noise = 0.0 if key is None else jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
    return jnp.clip(jnp.tanh(mean) + noise, -1, 1) * facts.action_mask[task_ids]


ALGORITHM = Algorithm(0.0, init, update, diagnose, values, act=act)
