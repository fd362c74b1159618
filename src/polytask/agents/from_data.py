"""What the agents that learn from logged data share: twin critics, and data in the units that networks see."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents.base import TaskFacts
from polytask.agents.moments import Moments
from polytask.agents.observing import normalised, vectors_of
from polytask.agents.offline_config import FromDataConfig
from polytask.networks import CriticEnsemble, TaskHead, make_conditioning, make_trunk
from polytask.networks.critic import CriticMember
from polytask.networks.trunk import Trunk
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet

LARGEST_RETURN = 100.0  # of scaled rewards; IQL's code scales its locomotion data to returns of this size


class Parts:
    """Fresh networks for these tasks, all conditioned alike; a key for each that is asked for."""

    def __init__(self, config: FromDataConfig, tasks: TaskSet, key: PRNGKeyArray) -> None:
        self.config, self.tasks, self._key, self._made = config, tasks, key, 0
        self.heads = len(tasks) if config.conditioning.endswith("multi-head") else 1
        kind, dim, norm = config.conditioning, config.embedding_dim, config.embedding_norm
        alone = len(tasks.layout or tasks.specs) == 1
        self.conditioning = make_conditioning(kind, len(tasks), dim, norm, alone=alone, key=self.key())

    def key(self) -> PRNGKeyArray:
        """Another key than any before."""
        self._made += 1
        return jax.random.fold_in(self._key, self._made)

    def trunk(self, more: int = 0, width: int | None = None) -> Trunk:
        """Of observations and `more` inputs."""
        config, inputs = self.config, self.tasks.observation_dim + more
        return make_trunk(
            config.trunk, inputs, self.conditioning.dim, width or config.width, config.depth, key=self.key()
        )

    def critics(self) -> CriticEnsemble:
        """Two critics of (observation, action)."""
        config, tasks, conditioning = self.config, self.tasks, self.conditioning
        inputs = tasks.observation_dim + tasks.action_dim

        def member(key: PRNGKeyArray) -> CriticMember:
            key_trunk, key_head = jax.random.split(key)
            trunk = make_trunk(config.trunk, inputs, conditioning.dim, config.width, config.depth, key=key_trunk)
            return CriticMember(trunk, TaskHead(trunk.width, 1, self.heads, key=key_head, scale=1.0))

        return CriticEnsemble(2, conditioning, member, key=self.key())

    def moments(self) -> Moments | None:
        """Of observations, to be set to those of the data; None where they are not normalised."""
        if not self.config.normalise_observations:
            return None
        return Moments(len(self.tasks), self.tasks.observation_dim)


def adam(config: FromDataConfig) -> optax.GradientTransformation:
    """The optimiser of every network."""
    return optax.adam(config.learning_rate)


def reward_scale(config: FromDataConfig, return_bound: Float[Array, " tasks"]) -> Float[Array, " tasks"]:
    """What a task's rewards are multiplied by: 100 / return_bound, 1 for a task without a reward, or always 1."""
    if not config.normalise_rewards:
        return jnp.ones_like(return_bound)
    known = (return_bound > 0) & jnp.isfinite(return_bound)
    return jnp.where(known, LARGEST_RETURN / jnp.where(known, return_bound, 1.0), 1.0)


def prepared(
    config: FromDataConfig, moments: Moments | None, batches: Batch, return_bound: Float[Array, " tasks"]
) -> Batch:
    """Batches of any shape with scaled rewards and normalised observations."""
    ids = batches.task_ids
    return batches._replace(
        rewards=batches.rewards * reward_scale(config, return_bound)[ids],
        observations=normalised(moments, batches.observations, ids),
        next_observations=normalised(moments, batches.next_observations, ids),
    )


def q_of(critic: CriticEnsemble, observations: Array, actions: Array, ids: Array) -> Float[Array, "members batch"]:
    """The critics' values."""
    return critic(observations, actions, ids)[..., 0]


def td_loss(critic: CriticEnsemble, batch: Batch, target: Float[Array, " batch"]) -> Float[Array, ""]:
    """Squared error to a target, summed over the critics."""
    q = q_of(critic, vectors_of(batch.observations), batch.actions, batch.task_ids)
    return jnp.square(q - jax.lax.stop_gradient(target)[None]).mean(axis=1).sum()


def bootstrapped(facts: TaskFacts, batch: Batch, value: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """r + discount value."""
    return batch.rewards + facts.discount[batch.task_ids] * batch.continues * value


def one_hot(facts: TaskFacts, task_ids: Int[Array, " batch"], like: Array) -> Float[Array, "batch tasks"]:
    """Rows of the tasks, in the type of `like`."""
    return jax.nn.one_hot(task_ids, facts.discount.shape[0], dtype=like.dtype)


def values(
    config: FromDataConfig,
    facts: TaskFacts,
    state: eqx.Module,
    outputs: Float[Array, "members batch outputs"],
    task_ids: Int[Array, " batch"],
    return_bound: Float[Array, " tasks"],
) -> Float[Array, " batch"]:
    """The smaller of the critics' values, in raw reward units."""
    return outputs[..., 0].min(axis=0) / reward_scale(config, return_bound)[task_ids]


def without_entropy(metrics: dict[str, Float[Array, " tasks"]]) -> dict[str, Float[Array, " tasks"]]:
    """The metrics of an agent whose policy has no entropy that it learns by."""
    return {name: value for name, value in metrics.items() if name != "entropy"}
