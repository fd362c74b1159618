"""BRC: Bigger, Regularized, Categorical (arXiv 2505.23150).

Outline of one update: (1) the critics' distribution at the next state, averaged over the target ensemble, is shifted by
the normalised reward and the entropy bonus, projected on the bins and learned by cross-entropy; (2) the target critic
follows; (3) the actor maximises the updated critics' expected value plus entropy; (4) the temperature follows its
target. Rewards are divided, per task, by the largest return seen. The defaults are those of the official code
where it and the paper differ; the paper's choices are switches of `BRCConfig`.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.affinity import AffinityAverages, observe_part
from polytask.agents.base import Method, TaskFacts, diagnose_tasks, polyak, sample_actions
from polytask.agents.combining import combined_or_mean, make_combiners, named
from polytask.agents.config import BRCConfig
from polytask.losses import (
    categorical_td_target,
    cross_entropy,
    expected_value,
    optimiser_step,
    soft_policy_loss,
    soft_td_target,
    squared_errors,
    temperature_loss,
)
from polytask.networks import CriticEnsemble, GaussianActor, TaskHead, make_conditioning, make_trunk
from polytask.networks.critic import CriticMember
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet

ENTROPY_PER_DIMENSION = -0.5
ENTROPY_DECAY = 0.995  # of the running per-task entropy that entropy_correction="empirical" uses


class BRCState(eqx.Module):
    """Everything that BRC learns."""

    actor: GaussianActor
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    log_temperature: Float[Array, ""]
    actor_optimiser: Any
    critic_optimiser: Any
    temperature_optimiser: Any
    task_entropy: Float[Array, " tasks"]
    critic_combiner: Any = None  # the state of the combiner, where there is one
    actor_combiner: Any = None


class Optimisers(NamedTuple):
    """AdamW for the networks, Adam with b1 = 0.5 for the temperature."""

    network: optax.GradientTransformation
    temperature: optax.GradientTransformation


def make_optimisers(config: BRCConfig) -> Optimisers:
    """The optimisers of BRC; no clipping, no schedule."""
    return Optimisers(
        optax.adamw(config.learning_rate, weight_decay=config.weight_decay),
        optax.adam(config.temperature_learning_rate, b1=0.5),
    )


def init(config: BRCConfig, tasks: TaskSet, key: PRNGKeyArray) -> BRCState:
    """Fresh parameters. Call outside of `jit`: many orthogonal initialisers at once can deadlock XLA's CPU pool."""
    key_task, key_critic, key_actor, key_heads = jax.random.split(key, 4)
    observations, actions, count = tasks.observation_dim, tasks.action_dim, len(tasks)
    heads = count if config.conditioning == "multi-head" else 1
    conditioning = make_conditioning(
        config.conditioning, count, config.embedding_dim, config.embedding_norm, key=key_task
    )
    outputs = 1 if config.critic_loss == "squared-error" else config.bins

    def make_member(member_key: PRNGKeyArray) -> CriticMember:
        key_trunk, key_head = jax.random.split(member_key)
        sizes = (observations + actions, conditioning.dim, config.critic_width, config.critic_depth)
        trunk = make_trunk(config.trunk, *sizes, key=key_trunk)
        return CriticMember(trunk, TaskHead(trunk.width, outputs, heads, key=key_head))

    critic = CriticEnsemble(config.ensemble, conditioning, make_member, key=key_critic)
    sizes = (observations, conditioning.dim, config.actor_width, config.actor_depth)
    actor = GaussianActor(make_trunk(config.trunk, *sizes, key=key_actor), actions, heads, key=key_heads)
    log_temperature = jnp.log(jnp.array(config.initial_temperature, float))
    optimisers, combiners = make_optimisers(config), make_combiners(config)
    return BRCState(
        actor=actor,
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),
        log_temperature=log_temperature,
        actor_optimiser=optimisers.network.init(eqx.filter(actor, eqx.is_array)),
        critic_optimiser=optimisers.network.init(eqx.filter(critic, eqx.is_array)),
        temperature_optimiser=optimisers.temperature.init(log_temperature),
        task_entropy=jnp.zeros(count),
        critic_combiner=combiners.critic and combiners.critic.init(critic, count),
        actor_combiner=combiners.actor and combiners.actor.init(actor, count),
    )


def reward_scale(
    config: BRCConfig,
    facts: TaskFacts,
    log_temperature: Float[Array, ""],
    task_entropy: Float[Array, " tasks"],
    return_bound: Float[Array, " tasks"],
) -> Float[Array, " tasks"]:
    """What a task's raw reward is multiplied by: v_max / (return_bound + lambda).

    lambda is the headroom for the entropy bonus: -alpha H_target / (2 (1 - gamma)) in the code; with
    `entropy_correction="empirical"` alpha |H| / (1 - gamma), H the task's running entropy. (The paper writes H; the
    absolute value, ours, keeps the denominator positive once the policy's entropy is negative.) Zero while
    `return_bound` is infinite.
    """
    if not config.normalise_rewards:
        return jnp.ones_like(return_bound)
    temperature = jnp.exp(log_temperature)
    if config.entropy_correction == "target":
        headroom = -temperature * facts.target_entropy / (2 * (1 - facts.discount))
    else:
        headroom = temperature * jnp.abs(task_entropy) / (1 - facts.discount)
    # A task that has never given a reward, under a temperature near zero, must not divide by zero.
    return config.v_max / jnp.maximum(return_bound + headroom, 1e-8)


def _q(config: BRCConfig, outputs: Float[Array, "members batch outputs"]) -> Float[Array, " batch"]:
    """The ensemble's mean value."""
    if config.critic_loss == "squared-error":
        return outputs[..., 0].mean(axis=0)
    probs = jax.nn.softmax(outputs, axis=-1).mean(axis=0)
    return jax.vmap(expected_value, (0, None))(probs, config.v_max)


def critic_target(
    config: BRCConfig, facts: TaskFacts, state: BRCState, batch: Batch, noise: Float[Array, "batch action"]
) -> Float[Array, "batch outputs"]:
    """The critics' target; `batch.rewards` are already scaled. A distribution, or a value of shape (batch, 1)."""
    features = state.critic.conditioning(batch.task_ids)
    mask = facts.action_mask[batch.task_ids]
    actions, log_probs = sample_actions(state.actor, batch.next_observations, features, batch.task_ids, mask, noise)
    outputs = state.target_critic(batch.next_observations, actions, batch.task_ids)
    discounts = facts.discount[batch.task_ids] * batch.continues
    bonus = -jnp.exp(state.log_temperature) * log_probs
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
    losses = jax.vmap(soft_policy_loss, (0, 0, None))(log_probs, q, jnp.exp(state.log_temperature))
    return losses.mean(), (log_probs, q)


def critic_step(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    key: PRNGKeyArray,
) -> tuple[BRCState, dict[str, Array]]:
    """One step of the critics and of their target. `key` is for combiners that draw."""
    optimiser = make_optimisers(config).network

    def loss_fn(critic: CriticEnsemble, inputs: tuple[Batch, Array]) -> tuple[Array, None]:
        return critic_loss(config, facts, critic, *inputs), None

    def step(critic: CriticEnsemble, gradient: CriticEnsemble) -> CriticEnsemble:
        return optimiser_step(optimiser, critic, gradient, state.critic_optimiser)[0]

    inputs = (batch, critic_target(config, facts, state, batch, noise))
    loss, _, gradient, combiner, info = combined_or_mean(
        loss_fn,
        state.critic,
        inputs,
        make_combiners(config).critic,
        state.critic_combiner,
        key,
        len(facts.discount),
        step,
    )
    critic, optimiser_state = optimiser_step(optimiser, state.critic, gradient, state.critic_optimiser)
    return (
        dataclasses.replace(
            state,
            critic=critic,
            critic_optimiser=optimiser_state,
            critic_combiner=combiner,
            target_critic=polyak(critic, state.target_critic, config.tau),
        ),
        {"critic_loss": loss, **named("critic", info)},
    )


def actor_step(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    key: PRNGKeyArray,
) -> tuple[BRCState, dict[str, Float[Array, ""]]]:
    """One step of the actor, then of the temperature, then of the running entropy where it is used."""
    optimisers = make_optimisers(config)

    def step(actor: GaussianActor, gradient: GaussianActor) -> GaussianActor:
        return optimiser_step(optimisers.network, actor, gradient, state.actor_optimiser)[0]

    loss, (log_probs, q), gradient, combiner, info = combined_or_mean(
        lambda actor, inputs: actor_loss(config, facts, actor, state, *inputs),
        state.actor,
        (batch, noise),
        make_combiners(config).actor,
        state.actor_combiner,
        key,
        len(facts.discount),
        step,
    )
    actor, actor_optimiser = optimiser_step(optimisers.network, state.actor, gradient, state.actor_optimiser)

    entropy, target_entropy = -log_probs.mean(), facts.target_entropy[batch.task_ids].mean()
    gradient = jax.grad(temperature_loss)(state.log_temperature, entropy, target_entropy)
    log_temperature, temperature_optimiser = optimiser_step(
        optimisers.temperature, state.log_temperature, gradient, state.temperature_optimiser
    )
    task_entropy = state.task_entropy
    if config.entropy_correction == "empirical":
        task_entropy = _running_entropy(task_entropy, batch.task_ids, -log_probs)
    metrics = {"actor_loss": loss, "entropy": entropy, "q_mean": q.mean(), "temperature": jnp.exp(log_temperature)}
    metrics |= named("actor", info)
    return (
        dataclasses.replace(
            state,
            actor=actor,
            actor_optimiser=actor_optimiser,
            actor_combiner=combiner,
            log_temperature=log_temperature,
            temperature_optimiser=temperature_optimiser,
            task_entropy=task_entropy,
        ),
        metrics,
    )


def _running_entropy(
    running: Float[Array, " tasks"], task_ids: Int[Array, " batch"], entropy: Float[Array, " batch"]
) -> Float[Array, " tasks"]:
    """Moves each task's running entropy towards its mean in the batch; a task not in the batch keeps its own."""
    count = jnp.zeros_like(running).at[task_ids].add(1.0)
    mean = jnp.zeros_like(running).at[task_ids].add(entropy) / jnp.maximum(count, 1)
    return jnp.where(count > 0, ENTROPY_DECAY * running + (1 - ENTROPY_DECAY) * mean, running)


def scaled(
    config: BRCConfig, facts: TaskFacts, state: BRCState, batches: Batch, return_bound: Float[Array, " tasks"]
) -> tuple[Batch, Float[Array, " tasks"]]:
    """Batches of any shape with their rewards scaled, and each task's scale."""
    scale = reward_scale(config, facts, state.log_temperature, state.task_entropy, return_bound)
    return batches._replace(rewards=batches.rewards * scale[batches.task_ids]), scale


def update(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> tuple[BRCState, dict[str, Float[Array, ""]]]:
    """A gradient step for each batch along the leading axis; the metrics are those of the last one.

    Rewards are scaled once, with the temperature at the beginning, as in the official code.
    """
    batches, _ = scaled(config, facts, state, batches, return_bound)

    def one(state: BRCState, inputs: tuple[Batch, Array]) -> tuple[BRCState, dict[str, Array]]:
        batch, step_key = inputs
        noise = jax.random.normal(step_key, (2, *batch.actions.shape), batch.actions.dtype)
        key_critic, key_actor = jax.random.split(jax.random.fold_in(step_key, 1))
        state, critic = critic_step(config, facts, state, batch, noise[0], key_critic)
        state, actor = actor_step(config, facts, state, batch, noise[1], key_actor)
        return state, {**critic, **actor}

    state, metrics = jax.lax.scan(one, state, (batches, jax.random.split(key, batches.rewards.shape[0])))
    return state, jax.tree.map(lambda m: m[-1], metrics)


def diagnose(
    config: BRCConfig,
    facts: TaskFacts,
    state: BRCState,
    batches: Batch,
    return_bound: Float[Array, " tasks"],
    key: PRNGKeyArray,
) -> dict[str, Float[Array, " tasks"]]:
    """Per-task losses, entropy, value and gradient norms; `batches` has shape (tasks, batch, ...)."""
    batches, scale = scaled(config, facts, state, batches, return_bound)

    metrics = diagnose_tasks(
        state,
        batches,
        key,
        lambda critic, batch, noise: critic_loss(
            config, facts, critic, batch, critic_target(config, facts, state, batch, noise)
        ),
        lambda actor, batch, noise: actor_loss(config, facts, actor, state, batch, noise),
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

    Targets are those of the moment, and the actor's losses are under the critics of the moment.
    """
    batches, _ = scaled(config, facts, state, batches, return_bound)
    noise = jax.random.normal(key, (2, *batches.actions.shape), batches.actions.dtype)
    targets = jax.lax.map(lambda x: critic_target(config, facts, state, *x), (batches, noise[0]))
    network = make_optimisers(config).network

    def of_critic(critic: CriticEnsemble, datum: tuple[Batch, Array]) -> Float[Array, ""]:
        return critic_loss(config, facts, critic, *datum)

    def of_actor(actor: GaussianActor, datum: tuple[Batch, Array]) -> Float[Array, ""]:
        return actor_loss(config, facts, actor, state, *datum)[0]

    critic = (state.critic, (batches, targets), network, state.critic_optimiser)
    actor = (state.actor, (batches, noise[1]), network, state.actor_optimiser)
    return {
        "critic": observe_part("critic", averages, of_critic, *critic),
        "actor": observe_part("actor", averages, of_actor, *actor),
    }


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


METHOD = Method(ENTROPY_PER_DIMENSION, init, update, diagnose, values, measure_affinity)
