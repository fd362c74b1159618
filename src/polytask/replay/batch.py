"""The form in which transitions reach an agent."""

from typing import Any, NamedTuple

from jaxtyping import Float, Int


class Batch(NamedTuple):
    """Transitions with raw rewards: NumPy arrays from the replay, JAX arrays inside an agent.

    `continues` is 0 where the episode terminated, else 1 (also at truncation).
    """

    observations: Float[Any, "*batch observation"]
    actions: Float[Any, "*batch action"]
    rewards: Float[Any, "*batch"]
    continues: Float[Any, "*batch"]
    next_observations: Float[Any, "*batch observation"]
    task_ids: Int[Any, "*batch"]
