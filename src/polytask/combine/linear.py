"""Fixed weights: the sum, the mean, and constants."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_mean, as_sum


def sum_() -> Weighting:
    """d = sum_i g_i: unitary scalarization (Kurin et al. 2022, arXiv 2201.04122)."""

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        return inputs.present.astype(float), state, {}

    return Weighting("losses", lambda tasks: (), weigh, as_sum)


def mean() -> Weighting:
    """d = sum_i g_i / n over the n present tasks."""

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        present = inputs.present.astype(float)
        return present / jnp.maximum(present.sum(), 1), state, {}

    return Weighting("losses", lambda tasks: (), weigh, as_mean)


def constant(weights: Sequence[float]) -> Weighting:
    """d = sum_i w_i g_i with the weights given; at scale "sum" and "mean" only their ratios count.

    Raises ValueError if there are not as many weights as tasks.
    """
    fixed = tuple(float(w) for w in weights)

    def init(tasks: int) -> tuple[()]:
        if tasks != len(fixed):
            raise ValueError(f"constant has {len(fixed)} weights for {tasks} tasks: give one for each")
        return ()

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        return jnp.where(inputs.present, jnp.asarray(fixed, float), 0.0), state, {}

    return Weighting("losses", init, weigh)
