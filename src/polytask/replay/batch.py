"""The form in which transitions reach an agent."""

from typing import Any, NamedTuple

from jaxtyping import Float, Int

from polytask.tasks.spaces import Observations


class Batch(NamedTuple):
    """Transitions with raw rewards: NumPy arrays from the replay, JAX arrays inside an agent.

    Observations are one array where no task has an image; images hold whole stacks. `continues` is 0 where the episode
    terminated, else 1 (also at truncation).
    """

    observations: Float[Any, "*batch observation"] | Observations
    actions: Float[Any, "*batch action"]
    rewards: Float[Any, "*batch"]
    continues: Float[Any, "*batch"]
    next_observations: Float[Any, "*batch observation"] | Observations
    task_ids: Int[Any, "*batch"]
