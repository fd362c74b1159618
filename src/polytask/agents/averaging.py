"""The average of a policy's recent weights, which acts more steadily than the last of them.

A policy in training moves fast: a task that it solves now it may fail a hundred steps later, and solve again
(docs/results.md has measurements). An exponential average of its weights is for evaluation and use only; training acts
with the last weights and does not notice.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class PolicyAverage(NamedTuple):
    """Averaged weights of what acts, and over how many steps since the average began."""

    steps: Int[Array, ""]
    actor: Any
    conditioning: Any


def start(state: Any) -> PolicyAverage:
    """An average that has seen nothing yet: the policy of an agent's state as it is, copied."""
    return PolicyAverage(jnp.int32(0), *jax.tree.map(jnp.copy, (state.actor, state.critic.conditioning)))


def follow(average: PolicyAverage, state: Any, window: Float[Array, ""]) -> PolicyAverage:
    """One step of the average towards the policy of `state`, by 1 / `window`; the plain mean of the first steps."""
    steps = average.steps + 1
    rate = jnp.maximum(1 / window, 1 / steps.astype(jnp.float32))
    before, now = (average.actor, average.conditioning), (state.actor, state.critic.conditioning)
    return PolicyAverage(steps, *jax.tree.map(lambda a, x: a + rate.astype(a.dtype) * (x - a), before, now))


def acting(state: Any, average: PolicyAverage | None) -> Any:
    """The state with the averaged policy in the place of the last; as it is without an average."""
    if average is None:
        return state
    state = eqx.tree_at(lambda tree: tree.actor, state, average.actor)
    if not jax.tree.leaves(average.conditioning):  # nothing learned tells the tasks apart
        return state
    return eqx.tree_at(lambda tree: tree.critic.conditioning, state, average.conditioning)
