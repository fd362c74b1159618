"""Half precision where it does not suffice."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def at_least_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """As it is, or in float32 where its type has fewer bits: for sums of squares, and for solvers that know no less."""
    return x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)
