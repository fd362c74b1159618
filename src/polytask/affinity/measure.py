"""One measurement of everything, for a trainer to take every so many steps."""

from typing import Any, Literal

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from polytask.affinity import averages
from polytask.affinity.averages import Averages
from polytask.affinity.gradients import Losses, joint_gradients, similarities
from polytask.affinity.lookahead import curvature, decrease, effects, gain, transference

Effect = Literal["transference", "decrease", "gain"]
_EFFECTS = {"transference": transference, "decrease": decrease, "gain": gain}
MEASURES = (*_EFFECTS, "cosine", "magnitude", "conflict", "curvature")
"""The names under which matrices are recorded."""


def measure(
    losses: Losses,
    params: PyTree,
    gradients: PyTree,
    optimiser: optax.GradientTransformation | float,
    state: Any = None,
    *,
    effect: Effect = "transference",
    shared: PyTree[bool] = True,
    step_heads: bool = False,
) -> dict[str, Float[Array, "tasks tasks"]]:
    """The effect of each task on each, the gradients' similarities and the curvature, by name; arguments as `effects`.

    `gradients` are the tasks' (`joint_gradients`, `separate_gradients`, or those that a combiner has made anyway).
    """
    found = effects(
        losses, params, gradients, optimiser, state, shared=shared, step_heads=step_heads, gradients=gradients
    )
    # With heads stepped, `after` holds their progress too, and what is left of the linear part is no curvature.
    bent = {} if step_heads else {"curvature": curvature(found)}
    return {effect: _EFFECTS[effect](found), **similarities(gradients), **bent}


def measure_some(
    losses: Losses,
    params: PyTree,
    sources: Int[Array, " sources"],
    optimiser: optax.GradientTransformation | float,
    state: Any = None,
    *,
    effect: Literal["transference", "decrease"] = "transference",
    shared: PyTree[bool] = True,
    step_heads: bool = False,
) -> dict[str, Float[Array, "tasks tasks"]]:
    """Only what some tasks do to all, NaN elsewhere: cheap where all tasks look at the same inputs.

    A whole measurement then costs about as much as T training steps. With two sources at a time, in turn, it costs
    two or three, and the averages come to the same.
    """
    values, gradients = joint_gradients(losses, params, shared, sources)
    found = effects(losses, params, gradients, optimiser, state, shared=shared, step_heads=step_heads)
    unknown = jnp.full((values.shape[0],) * 2, jnp.nan, found.before.dtype)
    return {effect: unknown.at[sources].set(_EFFECTS[effect](found))}


def init(tasks: int, effect: Effect = "transference", step_heads: bool = False) -> dict[str, Averages]:
    """Averages, of nothing yet, of what `measure` gives; entries that `measure_some` does not give stay so."""
    names = (effect, "cosine", "magnitude", "conflict", *(() if step_heads else ("curvature",)))
    return {name: averages.init(tasks, tasks) for name in names}


def observe(running: dict[str, Averages], measured: dict[str, Float[Array, "tasks tasks"]]) -> dict[str, Averages]:
    """Takes one `measure` or `measure_some` into the averages."""
    return {n: averages.observe(old, measured[n]) if n in measured else old for n, old in running.items()}
