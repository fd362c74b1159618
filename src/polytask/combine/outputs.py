"""What a loss function may return, and what its parameters may hold."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from polytask.combine.base import Combined
from polytask.combine.engines import LossesFn, PerTask

FORMS = (
    "losses_fn returns (losses, aux), or losses alone: an array with one loss for each task, a list of scalars, "
    "or a dictionary of named scalars"
)


class Beside(NamedTuple):
    """What came with the losses: the losses by name, empty where they have none, and what else was returned."""

    named: dict[str, Float[Array, ""]]
    aux: Any


def split_parameters(params: PyTree) -> tuple[PyTree, PyTree]:
    """What is differentiated, the float arrays, and the rest: functions, integers and Python numbers, as in
    `equinox.filter_grad`. Raises ValueError where there is nothing to differentiate."""
    trained, constant = eqx.partition(params, eqx.is_inexact_array)
    if not jax.tree.leaves(trained):
        raise ValueError("params hold no array of floats, so there is no gradient: give arrays, not Python numbers")
    return trained, constant


def with_constants(losses_fn: LossesFn, constant: PyTree) -> LossesFn:
    """The losses (tasks,) in JAX's default float type, and `Beside`, as a function of what is differentiated alone.

    Raises ValueError, once traced, for losses of another form.
    """
    if isinstance(losses_fn, PerTask):
        inner = losses_fn.loss_fn

        def one(params: PyTree, *rest: Any) -> tuple[Float[Array, ""], Any]:
            loss, aux = _pair(inner(eqx.combine(params, constant), *rest))
            return _scalar(loss, "the loss of PerTask's loss_fn").astype(float), aux

        return losses_fn._replace(loss_fn=one)

    def losses(params: PyTree) -> tuple[Float[Array, " tasks"], Beside]:
        given, aux = _pair(losses_fn(eqx.combine(params, constant)))
        if isinstance(given, dict | list):
            named = _named(given)
            return jnp.stack(list(named.values())), Beside(named, aux)
        if not eqx.is_inexact_array(given):
            raise ValueError(f"{FORMS}; it returned losses of type {type(given).__name__}")
        if given.ndim != 1:
            raise ValueError(f"{FORMS}; it returned an array of shape {given.shape}: do not add the tasks' losses up")
        return jnp.asarray(given).astype(float), Beside({}, aux)

    return losses


def with_constants_step(step: Callable[[PyTree, PyTree], PyTree], constant: PyTree) -> Callable[..., PyTree]:
    """An optimiser's step on whole parameters as one on what is differentiated."""
    return lambda params, gradient: eqx.filter(step(eqx.combine(params, constant), gradient), eqx.is_inexact_array)


def with_info(combined: Combined) -> Combined:
    """The result with what the loss function returned beside the losses; named losses are in info["losses"]."""
    if not isinstance(combined.aux, Beside):
        return combined
    named, aux = combined.aux
    return combined._replace(aux=aux, info={**combined.info, "losses": named} if named else combined.info)


def _pair(output: Any) -> tuple[Any, Any]:
    if not isinstance(output, tuple):
        return output, None
    if len(output) != 2:
        raise ValueError(f"{FORMS}; it returned a tuple of {len(output)}")
    return output


def _named(given: dict[str, Any] | list[Any]) -> dict[str, Float[Array, ""]]:
    """In the order of the names, as JAX sorts every dictionary; a list's are the task numbers."""
    if not given:
        raise ValueError(f"{FORMS}; it returned no loss at all")
    if isinstance(given, dict):
        if not all(isinstance(name, str) for name in given):
            raise ValueError(f"{FORMS}; it returned a dictionary with names that are not text")
        return {name: _scalar(given[name], f"the loss {name!r}").astype(float) for name in sorted(given)}
    width = len(str(len(given) - 1))  # so that sorted names are in order
    return {f"{i:0{width}}": _scalar(loss, f"loss {i}").astype(float) for i, loss in enumerate(given)}


def _scalar(loss: Any, what: str) -> Float[Array, ""]:
    if isinstance(loss, float):
        loss = jnp.asarray(loss)
    if not eqx.is_inexact_array(loss):
        raise ValueError(f"{what} is of type {type(loss).__name__}: it must be a float scalar")
    if loss.ndim:
        raise ValueError(f"{what} has shape {loss.shape}: it must be a scalar, such as the mean over the batch")
    return jnp.asarray(loss)
