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
    """Averaged weights of what acts, and over how many steps since the average began.

    Where tasks choose the critics act, and so are averaged too.
    """

    steps: Int[Array, ""]
    actor: Any
    conditioning: Any
    encoder: Any = None
    members: Any = None


def start(state: Any) -> PolicyAverage:
    """An average that has seen nothing yet: the policy of an agent's state as it is, copied."""
    return PolicyAverage(jnp.int32(0), *jax.tree.map(jnp.copy, _policy(state)))


def _policy(state: Any) -> tuple[Any, Any, Any, Any]:
    """The parts of a state that act, in the order of `PolicyAverage`."""
    critic = state.critic
    return state.actor, critic.conditioning, critic.encoder, critic.members if critic.choices > 1 else None


def follow(average: PolicyAverage, state: Any, window: Float[Array, ""]) -> PolicyAverage:
    """One step of the average towards the policy of `state`, by 1 / `window`; the plain mean of the first steps."""
    steps = average.steps + 1
    rate = jnp.maximum(1 / window, 1 / steps.astype(jnp.float32))
    before, now = tuple(average)[1:], _policy(state)
    return PolicyAverage(steps, *jax.tree.map(lambda a, x: a + rate.astype(a.dtype) * (x - a), before, now))


def acting(state: Any, average: PolicyAverage | None) -> Any:
    """The state with the averaged policy in the place of the last; as it is without an average."""
    if average is None:
        return state
    learned = [i for i, part in enumerate(average[1:]) if jax.tree.leaves(part)]  # not all that acts has weights

    def parts(tree: Any) -> list[Any]:
        critic = tree.critic
        every = (tree.actor, critic.conditioning, critic.encoder, critic.members)
        return [every[i] for i in learned]

    return eqx.tree_at(parts, state, [average[1 + i] for i in learned])
