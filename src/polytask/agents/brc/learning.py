"""BRC's update, piece by piece, and what is measured beside it."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.affinity import AffinityAverages, observe_part
from polytask.agents.balancing import row_weights, weight_metrics
from polytask.agents.base import Algorithm, TaskFacts, diagnose_tasks, polyak
from polytask.agents.brc.losses import actor_loss, choose, critic_loss, critic_target, entropy_loss, values
from polytask.agents.brc.scale import followed, growth_of, scaled
from polytask.agents.brc.state import BRCState, init, make_optimisers
from polytask.agents.combining import combined_or_mean, make_combiners, named
from polytask.agents.config import BRCConfig
from polytask.agents.moments import seen
from polytask.agents.observing import encoded, shifted, vectors_of
from polytask.losses import optimiser_step
from polytask.networks import CriticEnsemble, GaussianActor, split
from polytask.replay.batch import Batch

ActorLoss = Callable[..., tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]]
ENTROPY_PER_DIMENSION = -0.5
ENTROPY_DECAY = 0.995  # of the running per-task entropy that entropy_correction="empirical" uses


def critic_step(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    key: PRNGKeyArray,
    scale: Float[Array, " tasks"],
) -> tuple[BRCState, dict[str, Array], Batch]:
    """One step of the critics and of their target. `key` is for combiners that draw, `scale` that of the rewards.

    The batch comes back with images encoded as the critics had them before the step: the actor need not again (ours).
    """
    optimiser = make_optimisers(config).network
    moving, still = split(state.critic, config.moving)
    weights = row_weights(config, state.log_temperature, batch.task_ids)

    def loss_fn(moving: CriticEnsemble, inputs: tuple[Batch, Array]) -> tuple[Array, Array | None]:
        critic = eqx.combine(moving, still)
        batch, target = inputs
        if critic.encoder is None:
            return critic_loss(config, facts, critic, batch, target, weights), None
        features = encoded(critic, batch.observations, batch.task_ids)
        seen = batch._replace(observations=features)
        return critic_loss(config, facts, critic, seen, target, weights), features

    def step(moving: CriticEnsemble, gradient: CriticEnsemble) -> CriticEnsemble:
        return optimiser_step(optimiser, moving, gradient, state.critic_optimiser)[0]

    inputs = (batch, critic_target(config, facts, state, batch, noise, growth_of(state.target_scale, scale)))
    loss, features, gradient, combiner, info = combined_or_mean(
        loss_fn,
        moving,
        inputs,
        make_combiners(config).critic,
        state.critic_combiner,
        key,
        len(facts.discount),
        step,
    )
    moving, optimiser_state = optimiser_step(optimiser, moving, gradient, state.critic_optimiser)
    target, target_still = split(state.target_critic, config.moving)
    return (
        dataclasses.replace(
            state,
            critic=eqx.combine(moving, still),
            critic_optimiser=optimiser_state,
            critic_combiner=combiner,
            target_critic=eqx.combine(polyak(moving, target, config.tau), target_still),
            target_scale=followed(state.target_scale, scale, config.tau),
        ),
        {"critic_loss": loss, **named("critic", info)},
        batch if features is None else batch._replace(observations=features),
    )


def actor_step(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    key: PRNGKeyArray,
    actor_loss: ActorLoss = actor_loss,
) -> tuple[BRCState, dict[str, Array]]:
    """One step of the actor, then of the temperature, then of the running entropy where it is used.

    Of the actor there is no step where every task chooses, as there is no actor.
    """
    optimisers = make_optimisers(config)
    moving, still = split(state.actor, config.moving)
    weights = row_weights(config, state.log_temperature, batch.task_ids)

    def step(moving: GaussianActor, gradient: GaussianActor) -> GaussianActor:
        return optimiser_step(optimisers.network, moving, gradient, state.actor_optimiser)[0]

    metrics, stepped = weight_metrics(config, state.log_temperature), state
    if state.actor is None:
        _, (log_probs, q) = actor_loss(config, facts, None, state, batch, noise)
    else:
        loss, (log_probs, q), gradient, combiner, info = combined_or_mean(
            lambda moving, inputs: actor_loss(
                config, facts, eqx.combine(moving, still), state, *inputs, weights=weights
            ),
            moving,
            (batch, noise),
            make_combiners(config).actor,
            state.actor_combiner,
            key,
            len(facts.discount),
            step,
        )
        moving, optimiser = optimiser_step(optimisers.network, moving, gradient, state.actor_optimiser)
        actor = eqx.combine(moving, still)
        stepped = dataclasses.replace(state, actor=actor, actor_optimiser=optimiser, actor_combiner=combiner)
        metrics |= {"actor_loss": loss, **named("actor", info)}

    gradient = jax.grad(entropy_loss)(state.log_temperature, -log_probs, facts.target_entropy, batch.task_ids)
    log_temperature, temperature_optimiser = optimiser_step(
        optimisers.temperature, state.log_temperature, gradient, state.temperature_optimiser
    )
    task_entropy = state.task_entropy
    if config.entropy_correction == "empirical":
        task_entropy = running_entropy(task_entropy, batch.task_ids, -log_probs)
    metrics |= {"entropy": -log_probs.mean(), "q_mean": q.mean(), "temperature": jnp.exp(log_temperature).mean()}
    return (
        dataclasses.replace(
            stepped,
            log_temperature=log_temperature,
            temperature_optimiser=temperature_optimiser,
            task_entropy=task_entropy,
        ),
        metrics,
    )


def running_entropy(
    running: Float[Array, " tasks"], task_ids: Int[Array, " batch"], entropy: Float[Array, " batch"]
) -> Float[Array, " tasks"]:
    """Moves each task's running entropy towards its mean in the batch; a task not in the batch keeps its own."""
    count = jnp.zeros_like(running).at[task_ids].add(1.0)
    mean = jnp.zeros_like(running).at[task_ids].add(entropy) / jnp.maximum(count, 1)
    return jnp.where(count > 0, ENTROPY_DECAY * running + (1 - ENTROPY_DECAY) * mean, running)


def update(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
    actor_loss: ActorLoss = actor_loss,
) -> tuple[BRCState, dict[str, Array]]:
    """A gradient step for each batch along the leading axis; the metrics are those of the last one.

    Rewards are scaled once, with the temperature at the beginning, as in the official code. An agent that shares all
    but the actor's loss with BRC gives its own.
    """
    if state.moments is not None:
        rows = vectors_of(batches.observations)
        rows = rows.reshape(-1, rows.shape[-1])
        state = dataclasses.replace(state, moments=seen(state.moments, rows, batches.task_ids.reshape(-1)))
    batches, scale = scaled(config, facts, state, batches, return_bound)

    def one(state: BRCState, inputs: tuple[Batch, Array]) -> tuple[BRCState, dict[str, Array]]:
        batch, step_key = inputs
        if config.image_shift:
            here, there = jax.random.split(jax.random.fold_in(step_key, 2))
            batch = batch._replace(
                observations=shifted(batch.observations, config.image_shift, here),
                next_observations=shifted(batch.next_observations, config.image_shift, there),
            )
        noise = _noise(facts, batch, step_key)
        key_critic, key_actor = jax.random.split(jax.random.fold_in(step_key, 1))
        state, critic, batch = critic_step(config, facts, state, batch, noise[0], key_critic, scale)
        if state.updates is not None:
            state = dataclasses.replace(state, updates=state.updates + 1)
        state, actor = actor_step(config, facts, state, batch, noise[1], key_actor, actor_loss)
        return state, {**critic, **actor}

    state, metrics = jax.lax.scan(one, state, (batches, jax.random.split(key, batches.rewards.shape[0])))
    return state, jax.tree.map(lambda m: m[-1], metrics)


def _noise(facts: TaskFacts, batches: Batch, key: PRNGKeyArray) -> Float[Array, "2 *batch action"]:
    """Of the actions at the next states and at these."""
    return jax.random.normal(key, (2, *batches.rewards.shape, facts.action_mask.shape[-1]), batches.rewards.dtype)


def diagnose(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
    actor_loss: ActorLoss = actor_loss,
) -> dict[str, Float[Array, " tasks"]]:
    """Per-task losses, entropy, value and gradient norms; `batches` has shape (tasks, batch, ...)."""
    batches, scale = scaled(config, facts, state, batches, return_bound)

    metrics = diagnose_tasks(
        state,
        batches,
        key,
        lambda critic, batch, noise: critic_loss(
            config,
            facts,
            critic,
            batch,
            critic_target(config, facts, state, batch, noise, growth_of(state.target_scale, scale)),
        ),
        lambda actor, batch, noise: actor_loss(config, facts, actor, state, batch, noise),
        facts.action_mask.shape[-1],
    )
    return {**metrics, "reward_scale": scale}


def measure_affinity(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
    averages: AffinityAverages,
) -> AffinityAverages:
    """What a step on each task's critic loss does to each, and the same of the actor's; `batches` as in `diagnose`.

    Targets are those of the moment, and the actor's losses are under the critics of the moment. Of tasks that choose
    the actor's are not measured, as they have none, and nobody's where nothing of the actor moves.
    """
    batches, scale = scaled(config, facts, state, batches, return_bound)
    noise = _noise(facts, batches, key)
    growth = growth_of(state.target_scale, scale)
    targets = jax.lax.map(lambda x: critic_target(config, facts, state, x[0], x[1], growth), (batches, noise[0]))
    network = make_optimisers(config).network
    moving_critic, still_critic = split(state.critic, config.moving)
    moving_actor, still_actor = split(state.actor, config.moving)

    def of_critic(moving: CriticEnsemble, datum: tuple[Batch, Array]) -> Float[Array, ""]:
        return critic_loss(config, facts, eqx.combine(moving, still_critic), *datum)

    def of_actor(moving: GaussianActor, datum: tuple[Batch, Array]) -> Float[Array, ""]:
        return actor_loss(config, facts, eqx.combine(moving, still_actor), state, *datum)[0]

    critic = (moving_critic, (batches, targets), network, state.critic_optimiser)
    measured = {"critic": observe_part("critic", averages, of_critic, *critic), "actor": averages["actor"]}
    if jax.tree.leaves(moving_actor):
        actor = (moving_actor, (batches, noise[1]), network, state.actor_optimiser)
        acts = facts.action_mask.sum(axis=-1) > 0 if state.critic.choices > 1 else None
        measured["actor"] = observe_part("actor", averages, of_actor, *actor, among=acts)
    return measured


ALGORITHM = Algorithm(ENTROPY_PER_DIMENSION, init, update, diagnose, values, measure_affinity, choose)
