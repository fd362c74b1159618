"""Pytrees of several seeds as one, with a leading axis of seeds."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree


def stack(trees: Iterable[PyTree]) -> PyTree:
    """Trees of one structure as one, each leaf with a leading axis of trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def take(stacked: PyTree, i: Int[Array, ""]) -> PyTree:
    """The i-th of the trees that were stacked."""
    return jax.tree.map(lambda leaf: leaf[i], stacked)
