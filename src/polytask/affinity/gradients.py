"""Gradients task by task, and what they say without any step: cosine, magnitude similarity, conflict.

`shared` marks the parameters that tasks share: True (all of them), or a tree of booleans like the parameters or a
prefix of it, as of `equinox.partition`. Only shared parameters have task gradients; the others (heads) are None in
them. Stacks of gradients have a leading axis, one entry for each task or set of tasks.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

Losses = Callable[[Any], Float[Array, " tasks"]]
"""All tasks' losses from the parameters; batch, statistics and keys are bound in it, and what it would change of them
it must not return: measuring then changes nothing."""


def split(params: PyTree, shared: PyTree[bool]) -> tuple[PyTree, PyTree]:
    """The parameters in which gradients are taken, and the rest; a leaf that is no float array is of the rest."""
    chosen, rest = eqx.partition(params, shared)
    arrays, other = eqx.partition(chosen, eqx.is_inexact_array)
    return arrays, eqx.combine(other, rest)


def apart_from_the_rest(tree: Any) -> Any:
    """The same values, which the compiler may not merge with others: training keeps its bits beside a measurement."""
    arrays, other = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.lax.optimization_barrier(arrays), other)


def joint_gradients(
    losses: Losses, params: PyTree, shared: PyTree[bool] = True, tasks: Int[Array, " sources"] | None = None
) -> tuple[Float[Array, " tasks"], PyTree]:
    """Losses and task gradients where all tasks look at the same inputs: one forward pass, then a backward pass each.

    `tasks`: the tasks whose gradients are wanted, one pass each; None for all.
    """
    moving, rest = split(apart_from_the_rest(params), shared)
    values, pull = jax.vjp(lambda moved: losses(eqx.combine(moved, rest)), moving)
    rows = jnp.eye(values.shape[0], dtype=values.dtype)
    rows = rows if tasks is None else rows[tasks]
    return values, jax.vmap(lambda row: pull(row)[0])(rows)


def separate_gradients(
    loss: Callable[[Any, Any], Float[Array, ""]], params: PyTree, data: PyTree, shared: PyTree[bool] = True
) -> tuple[Float[Array, " tasks"], PyTree]:
    """Losses and task gradients where each task has a batch of its own, as in RL: the cost of one backward pass.

    `loss(params, datum)` is one task's loss; `data` has a leading task axis.
    """
    moving, rest = split(apart_from_the_rest(params), shared)
    one = jax.value_and_grad(lambda moved, datum: loss(eqx.combine(moved, rest), datum))
    return jax.vmap(one, in_axes=(None, 0))(moving, data)


def set_gradients(gradients: PyTree, members: Bool[Array, "sets tasks"], mean: bool = False) -> PyTree:
    """The gradients of the summed (or, with `mean`, averaged) losses of sets of tasks, as a stack."""
    weights = members.astype(float)
    if mean:
        weights = weights / jnp.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    return jax.tree.map(lambda g: jnp.tensordot(weights.astype(g.dtype), g, axes=1), gradients)


def similarities(gradients: PyTree) -> dict[str, Float[Array, "tasks tasks"]]:
    """Cosine, magnitude similarity and conflict of every pair of gradients (PCGrad, arXiv 2001.06782, "tragic triad").

    - "cosine": g_i.g_j / (|g_i| |g_j|);
    - "magnitude": Phi = 2 |g_i| |g_j| / (|g_i|^2 + |g_j|^2), 1 for equal lengths;
    - "conflict": 1 where the cosine is negative, else 0; its average over time is the conflict rate.

    A zero gradient has no direction: NaN in all its pairs (in "magnitude" as well: nothing is to be compared).
    """
    flat = jnp.concatenate(
        [leaf.reshape(leaf.shape[0], -1).astype(float) for leaf in jax.tree.leaves(gradients)], axis=1
    )
    largest = jnp.abs(flat).max(axis=1)
    # Scaled by their largest entries first, so that squares neither overflow nor vanish.
    unit = flat / jnp.where(largest > 0, largest, jnp.nan)[:, None]
    gram = unit @ unit.T
    norm = jnp.sqrt(jnp.diagonal(gram))
    cosine = jnp.clip(gram / (norm[:, None] * norm[None]), -1.0, 1.0)
    length = norm * largest
    ratio = length[:, None] / length[None]
    return {
        "cosine": cosine,
        "magnitude": 2 / (ratio + 1 / ratio),
        "conflict": jnp.where(jnp.isnan(cosine), jnp.nan, (cosine < 0).astype(float)),
    }
