"""Adam for the few numbers that a weighting learns, one for each task; absent tasks are left alone."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

DECAY_MEAN, DECAY_SQUARE, EPSILON = 0.9, 0.999, 1e-8


class Adam(NamedTuple):
    """Running means of the gradient and of its square, and how often each task has taken part."""

    mean: Float[Array, " tasks"]
    square: Float[Array, " tasks"]
    steps: Float[Array, " tasks"]


def adam_init(tasks: int) -> Adam:
    """Before the first step."""
    return Adam(jnp.zeros(tasks), jnp.zeros(tasks), jnp.zeros(tasks))


def adam_step(
    values: Float[Array, " tasks"],
    gradient: Float[Array, " tasks"],
    state: Adam,
    used: Bool[Array, " tasks"],
    learning_rate: float,
) -> tuple[Float[Array, " tasks"], Adam]:
    """One step of Adam (Kingma & Ba 2015, arXiv 1412.6980) on the values of the used tasks."""
    steps = state.steps + 1
    mean = DECAY_MEAN * state.mean + (1 - DECAY_MEAN) * gradient
    square = DECAY_SQUARE * state.square + (1 - DECAY_SQUARE) * jnp.square(gradient)
    root = jnp.sqrt(square / (1 - DECAY_SQUARE**steps)) + EPSILON
    moved = values - learning_rate * mean / (1 - DECAY_MEAN**steps) / root
    after = Adam(mean, square, steps)
    kept = Adam(*(jnp.where(used, new, old) for new, old in zip(after, state, strict=True)))
    return jnp.where(used, moved, values), kept
