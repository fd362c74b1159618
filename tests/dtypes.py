"""Trees in another float type, and what types they have."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp


def cast(tree: Any, dtype: Any) -> Any:
    """The tree with its arrays of floats in that type."""
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)


def forms(tree: Any) -> list[tuple[tuple[int, ...], Any]]:
    """Shape and type of everything in it that can be trained, or that stands for such an array."""
    leaves = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array | jax.ShapeDtypeStruct)]
    return [(x.shape, x.dtype) for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]
