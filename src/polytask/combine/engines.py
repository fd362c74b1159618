"""Engines: the task gradients, or only their Gramian, by automatic differentiation.

For losses f: parameters -> (tasks,) with Jacobian J. "looped" takes the rows of J one backward pass after another,
"vmapped" takes `chunk` of them at once (all, if None); both hold J. "gramian" takes the columns of J J^T, `chunk` at a
time: a backward pass gives the rows J^T e_i, a forward-mode pass along them gives J J^T e_i; it holds `chunk` rows.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from polytask.combine.gramian import Gramian, inverse_scale, largest_entries, normalise

Engine = Literal["auto", "looped", "vmapped", "gramian"]
Losses = Float[Array, " tasks"]
LossesFn = Callable[[PyTree], Any]
"""Parameters to (losses, aux), or to losses alone: an array (tasks,), a list of scalars, or a dictionary of named ones,
whose tasks are then in the order of the sorted names."""


class PerTask(NamedTuple):
    """Losses of tasks that each have a batch of their own: `loss_fn(params, task, batch)` gives (loss, aux).

    A `losses_fn` like any other. Engines see that a task's gradient concerns its own batch only, which makes all task
    gradients together cost one backward pass instead of one for each task.

    - `batches`: a pytree with a leading task axis.
    """

    loss_fn: Callable[[PyTree, Int[Array, ""], PyTree], tuple[Float[Array, ""], Any]]
    batches: PyTree

    @property
    def tasks(self) -> Int[Array, " tasks"]:
        """The task numbers, 0 to T - 1."""
        return jnp.arange(jax.tree.leaves(self.batches)[0].shape[0])

    def __call__(self, params: PyTree) -> tuple[Float[Array, " tasks"], Any]:
        """The losses and what comes beside them, with a leading task axis."""
        return jax.vmap(self.loss_fn, (None, 0, 0))(params, self.tasks, self.batches)


class Jacobian(NamedTuple):
    """The losses, what came beside them, and each task's gradient along a leading axis."""

    losses: Float[Array, " tasks"]
    aux: Any
    gradients: PyTree


def over_tasks(one: Callable[[Any], Any], xs: Any, chunk: int | None) -> Any:
    """`one` over the leading axis of `xs`, `chunk` at a time; all at once if None."""
    if chunk is None:
        return jax.vmap(one)(xs)
    return jax.lax.map(one, xs) if chunk == 1 else jax.lax.map(one, xs, batch_size=chunk)


def prefers_loop(losses_fn: LossesFn) -> bool:
    """Whether "looped" is measured to be the faster way to all task gradients: on the CPU, if all share their rows.

    XLA's batched backward pass on the CPU moves more memory than it saves; with own rows the batch is what makes
    the backward passes together as cheap as one.
    """
    return jax.default_backend() == "cpu" and not isinstance(losses_fn, PerTask)


def turned(pull: Callable[[Losses], Any], seed: Losses) -> Callable[[Losses], Any]:
    """`pull`, a pull-back by `jax.vjp`, made quicker to call many times on the CPU; its results are the same.

    A dense layer's kernel has the gradient X^T D, with the activations X the same in every call. XLA multiplies by the
    transpose of what lies there transposed 15 % faster on the CPU: X is laid down so once.
    """
    held, structure = jax.tree.flatten(pull)
    traced = jax.make_jaxpr(lambda *held: structure.unflatten(held)(seed))(*held).jaxpr
    along_rows = (((0,), (0,)), ((), ()))

    def only_along_rows(name: Any) -> bool:
        """Whether all that is done with it are products of matrices that sum over its rows."""
        uses = [eqn for eqn in traced.eqns if any(name is used for used in eqn.invars)]
        return (
            name.aval.ndim == 2
            and bool(uses)
            and all(eqn.params.get("dimension_numbers") == along_rows for eqn in uses)
        )

    marks = [only_along_rows(name) and name not in traced.outvars for name in traced.invars]
    across = [array.T if mark else array for array, mark in zip(held, marks, strict=True)]

    def pull_turned(seed: Losses) -> Any:
        return structure.unflatten([a.T if mark else a for a, mark in zip(across, marks, strict=True)])(seed)

    return pull_turned


def jacobian(losses_fn: LossesFn, params: PyTree, chunk: int | None) -> Jacobian:
    """Each task's gradient, `chunk` backward passes at once."""
    if isinstance(losses_fn, PerTask):
        value_and_grad = jax.value_and_grad(losses_fn.loss_fn, has_aux=True)
        xs = (losses_fn.tasks, losses_fn.batches)
        (losses, aux), gradients = over_tasks(lambda x: value_and_grad(params, *x), xs, chunk)
        return Jacobian(losses, aux, gradients)
    losses, pull, aux = jax.vjp(losses_fn, params, has_aux=True)
    if chunk == 1 and jax.default_backend() == "cpu":
        pull = turned(pull, losses)
    gradients = over_tasks(lambda seed: pull(seed)[0], jnp.eye(losses.shape[0], dtype=losses.dtype), chunk)
    return Jacobian(losses, aux, gradients)


def columnwise_gramian(
    losses_fn: LossesFn, params: PyTree, present: Bool[Array, " tasks"], chunk: int
) -> tuple[Gramian, Float[Array, " tasks"], Any, Callable[[Float[Array, " tasks"]], PyTree]]:
    """The Gramian without the Jacobian, the losses, what came beside them, and the pull-back of the losses.

    Costs a backward and a forward-mode pass for each task. Needs losses that have a forward-mode derivative (no
    `jax.custom_vjp`).
    """
    losses, push, aux = jax.linearize(losses_fn, params, has_aux=True)
    transposed = jax.linear_transpose(push, params)

    def pull(seed: Float[Array, " tasks"]) -> PyTree:
        return transposed(seed)[0]

    def column(seed: Float[Array, " tasks"]) -> tuple[Array, Array, Array]:
        row = pull(seed)
        largest = largest_entries(jax.tree.map(lambda g: g[None], row))
        inverse = inverse_scale(largest, jnp.isfinite(largest))
        row = jax.tree.map(lambda g: (g.astype(float) * inverse).astype(g.dtype), row)
        return push(row), inverse, largest[0]

    seeds = jnp.eye(losses.shape[0], dtype=losses.dtype)
    columns, inverses, largest = over_tasks(column, seeds, chunk)
    finite = jnp.isfinite(largest)
    used = present & finite
    inverse = inverse_scale(largest, used)
    # columns[j, i] is g_i . g_j * inverses[j]; both factors here are at most about one for the largest task.
    matrix = (columns * inverse) * (inverse / inverses)[:, None]
    return Gramian(*normalise(matrix, inverse, used), finite), losses, aux, pull
