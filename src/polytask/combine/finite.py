"""What is not finite, or not positive where a method needs that: never averaged away, and named."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from polytask.combine.base import Combined


def sound_losses(
    losses: Float[Array, " tasks"], finite: Bool[Array, " tasks"], present: Bool[Array, " tasks"], positive: bool
) -> tuple[Float[Array, " tasks"], Bool[Array, " tasks"]]:
    """Losses that a method can be given (1 for what is absent or at fault), and the present tasks at fault.

    - `finite`: the tasks whose gradients are finite.
    """
    ok = jnp.isfinite(losses) & finite
    if positive:
        ok &= losses > 0
    return jnp.where(present & ok, losses, 1.0), present & ~ok


def keep_state(nonfinite: Bool[Array, " tasks"], old: PyTree, new: PyTree) -> PyTree:
    """The old state if any task is at fault."""
    fault = nonfinite.any()
    return jax.tree.map(lambda o, n: jnp.where(fault, o, n), old, new)


def poison(gradient: PyTree, info: dict[str, Any]) -> PyTree:
    """NaN everywhere if any task is at fault."""
    fault = info["nonfinite"].any()
    return jax.tree.map(lambda g: jnp.where(fault, jnp.nan, g), gradient)


def check_finite(combined: Combined, names: Sequence[str] | None = None) -> None:
    """Raises FloatingPointError naming the tasks at fault; looks at values, so not for use inside `jit`.

    - `names`: the tasks' names, in order; if None, those that the loss function gave, or numbers.
    """
    names = list(combined.info["losses"]) if names is None and "losses" in combined.info else names
    fault = [i for i, bad in enumerate(combined.info["nonfinite"].tolist()) if bad]
    if fault:
        who = ", ".join(f"{names[i] if names else f'task {i}'} (loss {combined.losses[i]:.6g})" for i in fault)
        raise FloatingPointError(
            f"the loss or gradient is not finite, or the loss not positive for a method that needs that: {who}"
        )
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(combined.gradient)):
        raise FloatingPointError(
            "the combined gradient is not finite, though every loss is; a method that looks at gradients, such as "
            "pcgrad with engine='vmapped', tells which task it comes from"
        )
