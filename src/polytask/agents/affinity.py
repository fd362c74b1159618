"""What a step on each task does to each, measured in an agent that trains."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PyTree

from polytask.affinity import averages, measure, separate_gradients
from polytask.affinity.measure import Effect

AffinityAverages = dict[str, dict[str, averages.Averages]]
"""Running averages of matrices [source][recipient], by part ("critic", "actor") and measure."""

# An actor's loss may be negative, which transference cannot be measured with.
EFFECTS: dict[str, Effect] = {"critic": "transference", "actor": "gain"}


def fresh_averages(tasks: int) -> AffinityAverages:
    """Of nothing yet."""
    return {part: measure.init(tasks, effect) for part, effect in EFFECTS.items()}


def observe_part(
    part: str,
    running: AffinityAverages,
    loss: Callable[[Any, Any], Float[Array, ""]],
    params: PyTree,
    data: PyTree,
    optimiser: optax.GradientTransformation,
    optimiser_state: Any,
    among: Bool[Array, " tasks"] | None = None,
) -> dict[str, averages.Averages]:
    """One measurement taken into the averages: `loss(params, datum)` is a task's, `data` has a leading task axis.

    The step is the optimiser's own, as it stands; everything is shared, since a head would be stepped by its task only.
    With `among` the entries of the other tasks count as not measured.
    """
    _, gradients = separate_gradients(loss, params, data)

    def losses(params: PyTree) -> Float[Array, " tasks"]:
        return jax.vmap(loss, (None, 0))(params, data)

    measured = measure.measure(losses, params, gradients, optimiser, optimiser_state, effect=EFFECTS[part])
    if among is not None:
        both = among[:, None] & among[None, :]
        measured = {name: jnp.where(both, matrix, jnp.nan) for name, matrix in measured.items()}
    return measure.observe(running[part], measured)
