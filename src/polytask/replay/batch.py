"""The form in which transitions reach an agent."""

from typing import NamedTuple

from jax.typing import ArrayLike
from jaxtyping import Float, Int


class Batch(NamedTuple):
    """Transitions with raw rewards. `continues` is 0 where the episode terminated, else 1 (also at truncation)."""

    observations: Float[ArrayLike, "*batch observation"]
    actions: Float[ArrayLike, "*batch action"]
    rewards: Float[ArrayLike, "*batch"]
    continues: Float[ArrayLike, "*batch"]
    next_observations: Float[ArrayLike, "*batch observation"]
    task_ids: Int[ArrayLike, "*batch"]
