"""In which units BRC learns: rewards divided, per task, by the returns seen, and observations by their deviations."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.agents.base import TaskFacts
from polytask.agents.brc.state import BRCState
from polytask.agents.config import BRCConfig
from polytask.agents.observing import normalised
from polytask.replay.batch import Batch


def reward_scale(
    config: BRCConfig,
    facts: TaskFacts,
    log_temperature: Float[Array, "*tasks"],
    task_entropy: Float[Array, " tasks"],
    return_bound: Float[Array, " tasks"],
) -> Float[Array, " tasks"]:
    """What a task's raw reward is multiplied by: v_max / (return_bound + lambda).

    lambda is the headroom for the entropy bonus: -alpha H_target / (2 (1 - gamma)) in the code, and all of
    alpha H_target / (1 - gamma) in a task that chooses, whose target is positive and its bonus never below 0; with
    `entropy_correction="empirical"` alpha |H| / (1 - gamma), H the task's running entropy. (The paper writes H; the
    absolute value, ours, keeps the denominator positive once the policy's entropy is negative.) Zero while
    `return_bound` is infinite.
    """
    if not config.normalise_rewards:
        return jnp.ones_like(return_bound)
    temperature = jnp.exp(log_temperature)
    if config.entropy_correction == "target":
        headroom = -temperature * facts.target_entropy / (2 * (1 - facts.discount))
        if facts.choice_mask.shape[-1] > 1:
            headroom = jnp.maximum(headroom, -2 * headroom)
    else:
        headroom = temperature * jnp.abs(task_entropy) / (1 - facts.discount)
    # A task that has never given a reward, under a temperature near zero, must not divide by zero.
    return config.v_max / jnp.maximum(return_bound + headroom, 1e-8)


def growth_of(target: Float[Array, " tasks"] | None, scale: Float[Array, " tasks"]) -> Float[Array, " tasks"] | None:
    """The scale of rewards over `target`, that of the target critic's values: MR.Q's s'/s (arXiv 2501.16142).

    1 while either is zero, and so not known; None where it is not tracked.
    """
    if target is None:
        return None
    known = (scale > 0) & (target > 0)
    return jnp.where(known, scale / jnp.where(known, target, 1.0), 1.0)


def followed(
    target: Float[Array, " tasks"] | None, scale: Float[Array, " tasks"], tau: float
) -> Float[Array, " tasks"] | None:
    """The target critic's scale after a step by tau, as its weights take it, in logarithms; at once where it begins."""
    if target is None:
        return None
    known = (scale > 0) & (target > 0)
    ratio = jnp.where(known, scale, 1.0) / jnp.where(known, target, 1.0)
    return jnp.where(known, target * ratio**tau, scale)


def scaled(
    config: BRCConfig, facts: TaskFacts, state: BRCState, batches: Batch, return_bound: Float[Array, " tasks"]
) -> tuple[Batch, Float[Array, " tasks"]]:
    """Batches of any shape with their rewards scaled and observations normalised, and each task's scale."""
    scale = reward_scale(config, facts, state.log_temperature, state.task_entropy, return_bound)
    batches = batches._replace(rewards=batches.rewards * scale[batches.task_ids])
    batches = batches._replace(
        observations=normalised(state.moments, batches.observations, batches.task_ids),
        next_observations=normalised(state.moments, batches.next_observations, batches.task_ids),
    )
    return batches, scale
