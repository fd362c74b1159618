"""BCQ from logged data (Fujimoto, Meger and Precup 2019, arXiv 1812.02900), for several tasks.

One update: (1) a conditional variational autoencoder learns which actions stand in the data; (2) both critics learn
r + gamma max_a [lambda min Q'(s', a) + (1 - lambda) max Q'(s', a)] over candidates that it proposes, each perturbed by
at most Phi (equations 12 and 13); (3) the perturbation maximises Q1 of a candidate; (4) targets follow. It acts by the
best of its perturbed candidates under Q1.

Deviations: networks are conditioned on the task and learn at the rate of the others (the code's is 1e-3), all have one
depth; the latent has twice the dimensions of the largest task's action; without a key the candidates come from latents
that are the same at every call, so that the policy is a function.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.agents.base import Acting, Algorithm, TaskFacts, diagnose_tasks, polyak
from polytask.agents.from_data import Parts, adam, bootstrapped, prepared, q_of, td_loss, values, without_entropy
from polytask.agents.moments import Moments
from polytask.agents.observing import vectors_of
from polytask.agents.offline_config import BCQConfig
from polytask.losses import masked_elbo_loss, optimiser_step, soft_clipped_minimum
from polytask.networks import ActionVAE, CriticEnsemble, Perturbation
from polytask.networks.imitation import LATENT_RANGE
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet


class Proposer(eqx.Module):
    """What acts with the critic: proposed actions, and their perturbation."""

    vae: ActionVAE
    perturbation: Perturbation


class BCQState(eqx.Module):
    """Everything that BCQ learns."""

    actor: Proposer
    target_perturbation: Perturbation
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    vae_optimiser: Any
    perturbation_optimiser: Any
    critic_optimiser: Any
    moments: Moments | None


def init(config: BCQConfig, tasks: TaskSet, key: PRNGKeyArray) -> BCQState:
    """Fresh parameters."""
    parts, latent, actions = Parts(config, tasks, key), 2 * tasks.action_dim, tasks.action_dim
    trunks = parts.trunk(actions, config.vae_width), parts.trunk(latent, config.vae_width)
    vae = ActionVAE(*trunks, latent, actions, parts.heads, key=parts.key())
    moved = Perturbation(parts.trunk(actions), actions, parts.heads, config.perturbation, key=parts.key())
    critic = parts.critics()
    return BCQState(
        actor=Proposer(vae, moved),
        target_perturbation=jax.tree.map(jnp.copy, moved),
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),
        vae_optimiser=adam(config).init(eqx.filter(vae, eqx.is_array)),
        perturbation_optimiser=adam(config).init(eqx.filter(moved, eqx.is_array)),
        critic_optimiser=adam(config).init(eqx.filter(critic, eqx.is_array)),
        moments=parts.moments(),
    )


def latents(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Float[Array, "*shape"]:
    """Drawn from a normal, clipped to +-0.5."""
    return jnp.clip(jax.random.normal(key, shape, dtype), -LATENT_RANGE, LATENT_RANGE)


def proposed(
    vae: ActionVAE,
    perturbation: Perturbation,
    features: Float[Array, "batch features"],
    mask: Float[Array, "batch action"],
    observations: Float[Array, "batch observation"],
    drawn: Float[Array, "batch latent"],
    task_ids: Array,
) -> Float[Array, "batch action"]:
    """A perturbed candidate for each row, zero where padded."""
    actions = vae.decode(observations, drawn, features, task_ids) * mask
    return perturbation(observations, actions, features, task_ids) * mask


def candidates(
    acting: tuple[ActionVAE, Perturbation, CriticEnsemble],
    facts: TaskFacts,
    observations: Float[Array, "batch observation"],
    drawn: Float[Array, "batch candidates latent"],
    task_ids: Array,
) -> tuple[Float[Array, "batch candidates action"], Float[Array, "members batch candidates"]]:
    """The perturbed candidates of each row, and the critics' values of them; task features are the critics'."""
    vae, perturbation, critic = acting
    batch, count = drawn.shape[:2]
    rows, ids = jnp.repeat(observations, count, axis=0), jnp.repeat(task_ids, count)
    features, mask = critic.conditioning(ids), facts.action_mask[ids]
    actions = proposed(vae, perturbation, features, mask, rows, drawn.reshape(batch * count, -1), ids)
    q = q_of(critic, rows, actions, ids)
    return actions.reshape(batch, count, -1), q.reshape(q.shape[0], batch, count)


def vae_loss(
    facts: TaskFacts, vae: ActionVAE, features: Array, batch: Batch, noise: Float[Array, "batch latent"]
) -> Float[Array, ""]:
    """What the candidates are learned by."""
    ids, mask = batch.task_ids, facts.action_mask[batch.task_ids]
    mean, log_std = vae.encode(vectors_of(batch.observations), batch.actions, features)
    again = vae.decode(vectors_of(batch.observations), mean + jnp.exp(log_std) * noise, features, ids)
    return jax.vmap(masked_elbo_loss)(again, batch.actions, mean, log_std, mask).mean()


def critic_target(
    config: BCQConfig, facts: TaskFacts, state: BCQState, batch: Batch, key: PRNGKeyArray
) -> Float[Array, " batch"]:
    """r + gamma times the largest of the candidates' softly clipped minima."""
    drawn = latents(key, (batch.rewards.shape[0], config.candidates, state.actor.vae.latent), batch.rewards.dtype)
    parts = state.actor.vae, state.target_perturbation, state.target_critic
    _, q = candidates(parts, facts, vectors_of(batch.next_observations), drawn, batch.task_ids)
    soft = jax.vmap(jax.vmap(soft_clipped_minimum, (1, None), 0), (1, None), 0)(q, config.minimum_weight)
    return bootstrapped(facts, batch, soft.max(axis=1))


def actor_loss(
    facts: TaskFacts, perturbation: Perturbation, state: BCQState, batch: Batch, drawn: Float[Array, "batch latent"]
) -> tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """Minus Q1 of a perturbed candidate, with zeros for log-probabilities and each sample's value."""
    ids = batch.task_ids
    features, mask = state.critic.conditioning(ids), facts.action_mask[ids]
    actions = proposed(state.actor.vae, perturbation, features, mask, vectors_of(batch.observations), drawn, ids)
    q = q_of(state.critic, vectors_of(batch.observations), actions, ids)[0]
    return -q.mean(), (jnp.zeros_like(q), q)


def _update_one(
    config: BCQConfig, facts: TaskFacts, state: BCQState, inputs: tuple[Batch, Array]
) -> tuple[BCQState, dict[str, Array]]:
    batch, key = inputs
    key_vae, key_target, key_actor = jax.random.split(key, 3)
    adams, shape = adam(config), (batch.rewards.shape[0], state.actor.vae.latent)
    noise = jax.random.normal(key_vae, shape, batch.rewards.dtype)
    features = jax.lax.stop_gradient(state.critic.conditioning(batch.task_ids))
    v_loss, grads = jax.value_and_grad(lambda vae: vae_loss(facts, vae, features, batch, noise))(state.actor.vae)
    vae, vae_optimiser = optimiser_step(adams, state.actor.vae, grads, state.vae_optimiser)
    state = dataclasses.replace(state, actor=dataclasses.replace(state.actor, vae=vae), vae_optimiser=vae_optimiser)

    target = critic_target(config, facts, state, batch, key_target)
    c_loss, grads = jax.value_and_grad(td_loss)(state.critic, batch, target)
    critic, critic_optimiser = optimiser_step(adams, state.critic, grads, state.critic_optimiser)
    state = dataclasses.replace(state, critic=critic, critic_optimiser=critic_optimiser)

    drawn = latents(key_actor, shape, batch.rewards.dtype)
    (a_loss, (_, q)), grads = jax.value_and_grad(
        lambda moved: actor_loss(facts, moved, state, batch, drawn), has_aux=True
    )(state.actor.perturbation)
    moved, optimiser = optimiser_step(adams, state.actor.perturbation, grads, state.perturbation_optimiser)
    state = dataclasses.replace(
        state,
        actor=dataclasses.replace(state.actor, perturbation=moved),
        perturbation_optimiser=optimiser,
        target_perturbation=polyak(moved, state.target_perturbation, config.tau),
        target_critic=polyak(critic, state.target_critic, config.tau),
    )
    return state, {"critic_loss": c_loss, "actor_loss": a_loss, "vae_loss": v_loss, "q_mean": q.mean()}


def update(
    config: BCQConfig,
    facts: TaskFacts,
    state: BCQState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> tuple[BCQState, dict[str, Float[Array, ""]]]:
    """A gradient step for each batch along the leading axis; the metrics are those of the last one."""
    batches = prepared(config, state.moments, batches, return_bound)
    keys = jax.random.split(key, batches.rewards.shape[0])
    state, metrics = jax.lax.scan(partial(_update_one, config, facts), state, (batches, keys))
    return state, jax.tree.map(lambda m: m[-1], metrics)


def diagnose(
    config: BCQConfig,
    facts: TaskFacts,
    state: BCQState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> dict[str, Float[Array, " tasks"]]:
    """Per-task losses, value and gradient norms; `batches` has shape (tasks, batch, ...)."""
    drawn = latents(key, (batches.rewards.shape[1], state.actor.vae.latent), batches.rewards.dtype)
    metrics = diagnose_tasks(
        state,
        prepared(config, state.moments, batches, return_bound),
        key,
        lambda critic, batch, noise: td_loss(critic, batch, critic_target(config, facts, state, batch, key)),
        lambda actor, batch, noise: actor_loss(facts, actor.perturbation, state, batch, drawn),
        facts.action_mask.shape[-1],
    )
    return without_entropy(metrics)


def act(
    config: BCQConfig,
    facts: TaskFacts,
    acting: Acting,
    seen: Float[Array, "batch observation"],
    task_ids: Array,
    key: PRNGKeyArray | None,
) -> Float[Array, "batch action"]:
    """The best of the perturbed candidates under the first critic."""
    parts, critic = acting.actor, acting.critic
    assert isinstance(critic, CriticEnsemble)
    shape = (config.acting_candidates, parts.vae.latent)
    if key is None:
        drawn = jnp.broadcast_to(_fixed(*shape, seen.dtype), (seen.shape[0], *shape))
    else:
        drawn = latents(key, (seen.shape[0], *shape), seen.dtype)
    actions, q = candidates((parts.vae, parts.perturbation, critic), facts, seen, drawn, task_ids)
    return jnp.take_along_axis(actions, q[0].argmax(axis=1)[:, None, None], axis=1)[:, 0]


def _fixed(count: int, latent: int, dtype: Any) -> Float[Array, "count latent"]:
    """Latents that cover +-0.5 evenly: an additive recurrence by powers of the generalised golden ratio."""
    ratio = 2.0
    for _ in range(30):
        ratio = (1 + ratio) ** (1 / (latent + 1))
    powers = jnp.asarray([ratio ** -(i + 1) for i in range(latent)], dtype)
    steps = jnp.arange(1, count + 1, dtype=dtype)[:, None] * powers[None]
    return 2 * LATENT_RANGE * ((0.5 + steps) % 1.0 - 0.5)


ALGORITHM = Algorithm(0.0, init, update, diagnose, values, act=act)
