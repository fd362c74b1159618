"""The losses of BRC's critics, actor and temperature, and the critics' target."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.balancing import weighted
from polytask.agents.base import Acting, TaskFacts, sample_actions
from polytask.agents.brc.scale import reward_scale
from polytask.agents.brc.state import BRCState
from polytask.agents.choosing import by_choice, drawn, drawn_epsilon_greedily, of_chosen, split
from polytask.agents.config import BRCConfig
from polytask.agents.observing import encoded
from polytask.losses import (
    categorical_td_target,
    cross_entropy,
    expected_value,
    greedy,
    soft_choice,
    soft_policy_loss,
    soft_td_target,
    squared_errors,
    temperature_loss,
)
from polytask.networks import CriticEnsemble, GaussianActor
from polytask.replay.batch import Batch


def _q(config: BRCConfig, outputs: Float[Array, "members *batch outputs"]) -> Float[Array, "*batch"]:
    """The ensemble's mean value."""
    if config.critic_loss == "squared-error":
        return outputs[..., 0].mean(axis=0)
    return _expected(config, jax.nn.softmax(outputs, axis=-1).mean(axis=0))


def _expected(config: BRCConfig, probs: Float[Array, "*batch bins"]) -> Float[Array, "*batch"]:
    value = expected_value
    for _ in probs.shape[:-1]:
        value = jax.vmap(value, (0, None))
    return value(probs, config.v_max)


def _soft_choices(
    facts: TaskFacts,
    q: Float[Array, "batch choices"],
    log_temperature: Float[Array, "*tasks"],
    task_ids: Int[Array, " batch"],
) -> tuple[Float[Array, "batch choices"], Float[Array, " batch"]]:
    """The policy over choices that the critics' values mean, and its entropy: softmax of Q / alpha (ours)."""
    return jax.vmap(soft_choice)(q, facts.choice_mask[task_ids], _temperatures(log_temperature, task_ids))


def _temperatures(log_temperature: Float[Array, "*tasks"], task_ids: Int[Array, " batch"]) -> Float[Array, " batch"]:
    temperature = jnp.exp(log_temperature)
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
    Where tasks choose, the distributions of the choices at the next state are mixed as the policy over them does, and
    its entropy is in the bonus. Images of the next state are encoded once, by the target critic, for the actor as well.
    """
    features = state.critic.conditioning(batch.task_ids)
    mask = facts.action_mask[batch.task_ids]
    seen = encoded(state.target_critic, batch.next_observations, batch.task_ids)
    actions, log_probs = sample_actions(state.actor, seen, features, batch.task_ids, mask, noise)
    outputs = state.target_critic(seen, actions, batch.task_ids)
    choices, policy = state.critic.choices, None
    if choices > 1:
        outputs = by_choice(outputs, choices)
        q = _q(config, outputs)
        if growth is not None:  # the policy weighs values in the units of the bonus
            q = q * growth[batch.task_ids][:, None]
        policy, entropy = _soft_choices(facts, q, state.log_temperature, batch.task_ids)
        log_probs = log_probs - entropy
    discounts = facts.discount[batch.task_ids] * batch.continues
    bonus = -_temperatures(state.log_temperature, batch.task_ids) * log_probs
    if growth is not None:  # the values grow, the bonus does not
        rows = growth[batch.task_ids]
        discounts, bonus = discounts * rows, bonus / rows
    if config.critic_loss == "squared-error":
        q = _q(config, outputs)
        q = q if policy is None else (policy * q).sum(axis=-1)
        return jax.vmap(soft_td_target)(batch.rewards, discounts, bonus, q)[:, None]
    probs = jax.nn.softmax(outputs, axis=-1).mean(axis=0)
    if policy is not None:
        probs = (policy[..., None] * probs).sum(axis=1)
    return jax.vmap(categorical_td_target, (0, 0, 0, 0, None))(batch.rewards, discounts, bonus, probs, config.v_max)


def critic_loss(
    config: BRCConfig,
    facts: TaskFacts,
    critic: CriticEnsemble,
    batch: Batch,
    target: Float[Array, "batch outputs"],
    weights: Float[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """Summed over the ensemble, averaged over the batch; with `critic_loss="task-weighted"` times the tasks' relevance.

    The weights are as given: twice the relevance of all tasks is twice the loss. Where tasks choose it is of the choice
    that was taken. `weights` are of rows.
    """
    actions, chosen = split(batch.actions, facts.action_mask.shape[-1])
    outputs = critic(encoded(critic, batch.observations, batch.task_ids), actions, batch.task_ids)
    outputs = of_chosen(outputs, chosen, critic.choices)
    if config.critic_loss == "squared-error":
        errors = jax.vmap(squared_errors, (0, None))(outputs, target)
        if weights is None:
            return errors.mean(axis=(1, 2)).sum()
        return weighted(errors.mean(axis=2), weights).mean(axis=1).sum()
    losses = jax.vmap(jax.vmap(cross_entropy), (None, 0))(target, outputs)
    if config.critic_loss == "task-weighted":
        losses = losses * facts.relevance[batch.task_ids][None]
    return weighted(losses, weights).mean(axis=1).sum()


def actor_loss(
    config: BRCConfig,
    facts: TaskFacts,
    actor: GaussianActor | None,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    weights: Float[Array, " batch"] | None = None,
) -> tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """The loss, with each sample's log-probability and value.

    Only rows of tasks that act continuously count, and 0 is their mean where there is none; a sample of a task that
    chooses has minus the entropy of its choice, and the value under it.
    """
    features = jax.lax.stop_gradient(state.critic.conditioning(batch.task_ids))
    mask = facts.action_mask[batch.task_ids]
    seen = jax.lax.stop_gradient(encoded(state.critic, batch.observations, batch.task_ids))
    actions, log_probs = sample_actions(actor, seen, features, batch.task_ids, mask, noise)
    outputs = state.critic(seen, actions, batch.task_ids)
    temperatures = _temperatures(state.log_temperature, batch.task_ids)
    if state.critic.choices == 1:
        q = _q(config, outputs)
        losses = weighted(jax.vmap(soft_policy_loss)(log_probs, q, temperatures), weights)
        return losses.mean(), (log_probs, q)
    q = _q(config, by_choice(outputs, state.critic.choices))
    policy, entropy = jax.lax.stop_gradient(_soft_choices(facts, q, state.log_temperature, batch.task_ids))
    log_probs, q = log_probs - entropy, (policy * q).sum(axis=-1)
    losses = weighted(jax.vmap(soft_policy_loss)(log_probs, q, temperatures), weights)
    acts = (mask.sum(axis=-1) > 0).astype(losses.dtype)
    return (acts * losses).sum() / jnp.maximum(acts.sum(), 1), (log_probs, q)


def choose(
    config: BRCConfig,
    facts: TaskFacts,
    acting: Acting,
    outputs: Float[Array, "members batch outputs"],
    task_ids: Int[Array, " batch"],
    key: PRNGKeyArray | None,
) -> Int[Array, " batch"]:
    """The best choice; with a key one drawn from the soft policy, or epsilon-greedily where that is asked for."""
    choices = facts.choice_mask.shape[-1]
    q, mask = _q(config, by_choice(outputs, choices)), facts.choice_mask[task_ids]
    if key is None:
        return jax.vmap(greedy)(q, mask)
    if acting.updates is not None:
        return drawn_epsilon_greedily(q, mask, acting.updates, config.epsilon_updates, key)
    assert acting.log_temperature is not None
    return drawn(_soft_choices(facts, q, acting.log_temperature, task_ids)[0], key)


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
    if state.critic.choices == 1:
        q = _q(config, outputs)
    else:
        each = _q(config, by_choice(outputs, state.critic.choices))
        q = (_soft_choices(facts, each, state.log_temperature, task_ids)[0] * each).sum(axis=-1)
    return jnp.where(scale > 0, q / jnp.where(scale > 0, scale, 1.0), 0.0)
