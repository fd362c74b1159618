"""Optax under JAX's strict promotion."""

from typing import Any

import jax
import optax


def optimiser_step(optimiser: optax.GradientTransformation, params: Any, gradient: Any, state: Any) -> tuple[Any, Any]:
    """One step of an optax optimiser: the new parameters and the optimiser's new state."""
    # Optax raises floats to integer powers, which JAX's strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        updates, state = optimiser.update(gradient, state, params)
    return optax.apply_updates(params, updates), state
