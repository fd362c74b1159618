"""The losses of BRC's critics, actor and temperature, and the critics' target."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polytask.agents.base import TaskFacts, sample_actions
from polytask.agents.brc.scale import reward_scale
from polytask.agents.brc.state import BRCState
from polytask.agents.config import BRCConfig
from polytask.losses import (
    categorical_td_target,
    cross_entropy,
    expected_value,
    soft_policy_loss,
    soft_td_target,
    squared_errors,
    temperature_loss,
)
from polytask.networks import CriticEnsemble, GaussianActor
from polytask.replay.batch import Batch


def _q(config: BRCConfig, outputs: Float[Array, "members batch outputs"]) -> Float[Array, " batch"]:
    """The ensemble's mean value."""
    if config.critic_loss == "squared-error":
        return outputs[..., 0].mean(axis=0)
    probs = jax.nn.softmax(outputs, axis=-1).mean(axis=0)
    return jax.vmap(expected_value, (0, None))(probs, config.v_max)


def _temperatures(state: BRCState, task_ids: Int[Array, " batch"]) -> Float[Array, " batch"]:
    temperature = jnp.exp(state.log_temperature)
    return temperature[task_ids] if temperature.ndim else jnp.broadcast_to(temperature, task_ids.shape)


def critic_target(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    growth: Float[Array, " tasks"] | None = None,
) -> Float[Array, "batch outputs"]:
    """The critics' target; `batch.rewards` are already scaled. A distribution, or a value of shape (batch, 1).

    `growth` is the scale of rewards over that in which the target critic's values stand; None where that is not asked.
    """
    features = state.critic.conditioning(batch.task_ids)
    mask = facts.action_mask[batch.task_ids]
    actions, log_probs = sample_actions(state.actor, batch.next_observations, features, batch.task_ids, mask, noise)
    outputs = state.target_critic(batch.next_observations, actions, batch.task_ids)
    discounts = facts.discount[batch.task_ids] * batch.continues
    bonus = -_temperatures(state, batch.task_ids) * log_probs
    if growth is not None:  # the values grow, the bonus does not
        rows = growth[batch.task_ids]
        discounts, bonus = discounts * rows, bonus / rows
    if config.critic_loss == "squared-error":
        return jax.vmap(soft_td_target)(batch.rewards, discounts, bonus, _q(config, outputs))[:, None]
    probs = jax.nn.softmax(outputs, axis=-1).mean(axis=0)
    return jax.vmap(categorical_td_target, (0, 0, 0, 0, None))(batch.rewards, discounts, bonus, probs, config.v_max)


def critic_loss(
    config: BRCConfig, facts: TaskFacts, critic: CriticEnsemble, batch: Batch, target: Float[Array, "batch outputs"]
) -> Float[Array, ""]:
    """Summed over the ensemble, averaged over the batch; with `critic_loss="task-weighted"` times the tasks' relevance.

    The weights are as given: twice the relevance of all tasks is twice the loss.
    """
    outputs = critic(batch.observations, batch.actions, batch.task_ids)
    if config.critic_loss == "squared-error":
        return jax.vmap(squared_errors, (0, None))(outputs, target).mean(axis=(1, 2)).sum()
    losses = jax.vmap(jax.vmap(cross_entropy), (None, 0))(target, outputs)
    if config.critic_loss == "task-weighted":
        losses = losses * facts.relevance[batch.task_ids][None]
    return losses.mean(axis=1).sum()


def actor_loss(
    config: BRCConfig,
    facts: TaskFacts,
    actor: GaussianActor,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
) -> tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """The loss, with each sample's log-probability and value."""
    features = jax.lax.stop_gradient(state.critic.conditioning(batch.task_ids))
    mask = facts.action_mask[batch.task_ids]
    actions, log_probs = sample_actions(actor, batch.observations, features, batch.task_ids, mask, noise)
    q = _q(config, state.critic(batch.observations, actions, batch.task_ids))
    losses = jax.vmap(soft_policy_loss)(log_probs, q, _temperatures(state, batch.task_ids))
    return losses.mean(), (log_probs, q)


def entropy_loss(
    log_temperature: Float[Array, "*tasks"],
    entropy: Float[Array, " batch"],
    target_entropy: Float[Array, " tasks"],
    task_ids: Int[Array, " batch"],
) -> Float[Array, ""]:
    """Of the batch's mean entropy where all tasks share a temperature; else of each row with its task's own."""
    if log_temperature.ndim == 0:
        return temperature_loss(log_temperature, entropy.mean(), target_entropy[task_ids].mean())
    return jax.vmap(temperature_loss)(log_temperature[task_ids], entropy, target_entropy[task_ids]).mean()


def values(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    outputs: Float[Array, "members batch outputs"],
    task_ids: Int[Array, " batch"],
    return_bound: Float[Array, " tasks"],
) -> Float[Array, " batch"]:
    """The critics' values in raw reward units; 0 where the task's scale is not known yet."""
    scale = reward_scale(config, facts, state.log_temperature, state.task_entropy, return_bound)[task_ids]
    return jnp.where(scale > 0, _q(config, outputs) / jnp.where(scale > 0, scale, 1.0), 0.0)
