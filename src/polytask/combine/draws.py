"""Random draws for each task that do not depend on how many tasks there are."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


def per_task(draw: Callable[[PRNGKeyArray], Array], key: PRNGKeyArray, tasks: int) -> Array:
    """`draw(key)` with a key for each task, along a leading axis. Tasks appended at the end change no other's draw."""
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(jnp.arange(tasks))


def random_orders(key: PRNGKeyArray, tasks: int) -> Int[Array, "tasks tasks"]:
    """For each task an order of all tasks, uniform and independent. Tasks appended at the end leave the order among
    the others as it is."""
    return jnp.argsort(per_task(lambda k: jax.random.uniform(k, (tasks,)), key, tasks), axis=1)
