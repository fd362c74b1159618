"""BRC from logged data (ours): BRC's critics, and TD3+BC's behaviour term in its actor.

The actor minimises lambda (temperature log pi - Q) + (a - a_logged)^2, a drawn from it, with lambda = alpha / mean |Q|
in each task (`polytask.losses.value_normalisation`; TD3+BC, arXiv 2106.06860). All else is BRC (arXiv 2505.23150): the
categorical critics, the rewards' scale, the temperature.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.agents import brc
from polytask.agents.balancing import weighted
from polytask.agents.base import Algorithm, TaskFacts, sample_actions
from polytask.agents.brc.state import BRCState
from polytask.agents.from_data import one_hot
from polytask.agents.observing import vectors_of
from polytask.agents.offline_config import BRCBCConfig
from polytask.losses import behaviour_distance, soft_policy_loss, value_normalisation
from polytask.networks import GaussianActor
from polytask.replay.batch import Batch


def actor_loss(
    config: BRCBCConfig,
    facts: TaskFacts,
    actor: GaussianActor,
    state: BRCState,
    batch: Batch,
    noise: Float[Array, "batch action"],
    weights: Float[Array, " batch"] | None = None,
) -> tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """The loss, with each sample's log-probability and value."""
    ids, mask = batch.task_ids, facts.action_mask[batch.task_ids]
    features = jax.lax.stop_gradient(state.critic.conditioning(ids))
    actions, log_probs = sample_actions(actor, vectors_of(batch.observations), features, ids, mask, noise)
    distance = jax.vmap(behaviour_distance)(actions, batch.actions, mask)
    _, (_, q) = brc.actor_loss(config, facts, actor, state, batch, noise)
    temperature = jnp.exp(state.log_temperature)
    temperatures = temperature[ids] if temperature.ndim else jnp.broadcast_to(temperature, ids.shape)
    weight = value_normalisation(q, one_hot(facts, ids, q), config.alpha)
    losses = weight * jax.vmap(soft_policy_loss)(log_probs, q, temperatures) + distance
    return weighted(losses, weights).mean(), (log_probs, q)


ALGORITHM = Algorithm(
    brc.ENTROPY_PER_DIMENSION,
    brc.init,
    partial(brc.update, actor_loss=actor_loss),
    partial(brc.diagnose, actor_loss=actor_loss),
    brc.values,
)
