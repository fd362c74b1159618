"""What BRC learns, and how it begins."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.combining import make_combiners
from polytask.agents.config import BRCConfig
from polytask.agents.moments import Moments
from polytask.agents.observing import image_features
from polytask.networks import CriticEnsemble, GaussianActor, TaskHead, adapted, make_conditioning, make_trunk, split
from polytask.networks.critic import CriticMember
from polytask.tasks.spec import TaskSet


class BRCState(eqx.Module):
    """Everything that BRC learns. The encoder of images is the critics'."""

    actor: GaussianActor | None  # none where every task chooses
    critic: CriticEnsemble
    target_critic: CriticEnsemble
    log_temperature: Float[Array, "*tasks"]  # one, or one for each task
    actor_optimiser: Any
    critic_optimiser: Any
    temperature_optimiser: Any
    task_entropy: Float[Array, " tasks"]
    critic_combiner: Any = None  # the state of the combiner, where there is one
    actor_combiner: Any = None
    moments: Moments | None = None  # of the observations, where they are normalised
    target_scale: Float[Array, " tasks"] | None = None  # in which the target critic's values stand, where it is tracked
    updates: Int[Array, ""] | None = None  # gradient steps so far, where epsilon hangs on them


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
    heads = count if config.conditioning.endswith("multi-head") else 1
    conditioning = make_conditioning(
        config.conditioning,
        count,
        config.embedding_dim,
        config.embedding_norm,
        alone=len(tasks.layout or tasks.specs) == 1,
        key=key_task,
    )
    outputs = 1 if config.critic_loss == "squared-error" else config.bins
    encoder = image_features(config, tasks, conditioning.dim, key=jax.random.fold_in(key, 1))
    seen = observations + (encoder.width if encoder else 0)

    def make_member(member_key: PRNGKeyArray) -> CriticMember:
        key_trunk, key_head = jax.random.split(member_key)
        sizes = (seen + actions, conditioning.dim, config.critic_width, config.critic_depth)
        trunk = make_trunk(config.trunk, *sizes, key=key_trunk)
        return CriticMember(trunk, TaskHead(trunk.width, outputs, heads, tasks.choices, key=key_head))

    critic = CriticEnsemble(config.ensemble, conditioning, make_member, encoder, tasks.choices, key=key_critic)
    actor = None
    if actions or tasks.choices == 1:
        sizes = (seen, conditioning.dim, config.actor_width, config.actor_depth)
        actor = GaussianActor(make_trunk(config.trunk, *sizes, key=key_actor), actions, heads, key=key_heads)
    if config.adapter_rank:
        critic = adapted(critic, config.adapter_rank, key=jax.random.fold_in(key_critic, 1))
        actor = actor and adapted(actor, config.adapter_rank, key=jax.random.fold_in(key_actor, 1))
    moving_critic, moving_actor = split(critic, config.moving)[0], split(actor, config.moving)[0]
    counted = tasks.choices > 1 and config.choice_policy == "epsilon-greedy"
    shape = (count,) if config.temperature == "per-task" else ()
    log_temperature = jnp.log(jnp.full(shape, config.initial_temperature, float))
    optimisers, combiners = make_optimisers(config), make_combiners(config)
    return BRCState(
        actor=actor,
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),
        log_temperature=log_temperature,
        actor_optimiser=optimisers.network.init(eqx.filter(moving_actor, eqx.is_array)),
        critic_optimiser=optimisers.network.init(eqx.filter(moving_critic, eqx.is_array)),
        temperature_optimiser=optimisers.temperature.init(log_temperature),
        task_entropy=jnp.zeros(count),
        critic_combiner=combiners.critic and combiners.critic.init(moving_critic, count),
        actor_combiner=combiners.actor and combiners.actor.init(moving_actor, count),
        moments=Moments(count, observations) if config.normalise_observations and observations else None,
        target_scale=jnp.zeros(count) if config.target_scale == "tracked" else None,
        updates=jnp.int32(0) if counted else None,
    )
