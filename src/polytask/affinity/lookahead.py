"""Transference: what a step on one task's loss does to every task's loss.

TAG (Fifty et al. 2021, arXiv 2109.04617) and IT-MTL (Fifty et al. 2020, arXiv 2010.15413) look ahead on one batch: with
theta'_i the shared parameters after the optimiser's step on L_i alone, and phi_j the head of task j,

    Z_{i->j} = 1 - L_j(theta'_i, phi_j) / L_j(theta, phi_j).

Z > 0: training on i helps j at this moment. Nothing is changed by looking: all functions are pure, and only losses come
back. Matrices are [source][recipient]; sources may also be sets of tasks, or any other candidate gradients.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from polytask.affinity.gradients import Losses, apart_from_the_rest, split
from polytask.losses import optimiser_step


class Effects(NamedTuple):
    """The losses before and after one step of each source.

    - `before`: L_j at the parameters as they are.
    - `after`: L_j once source i has made its step.
    - `linear`: grad L_j . (theta'_i - theta), the change to first order; NaN where no gradients of tasks were given.
    """

    before: Float[Array, " tasks"]
    after: Float[Array, "sources tasks"]
    linear: Float[Array, "sources tasks"]


def effects(
    losses: Losses,
    params: PyTree,
    candidates: PyTree,
    optimiser: optax.GradientTransformation | float,
    state: Any = None,
    *,
    shared: PyTree[bool] = True,
    step_heads: bool = False,
    gradients: PyTree = None,
) -> Effects:
    """Looks ahead along each of a stack of candidate gradients, one after the other.

    - `candidates`: gradients of the shared parameters, with a leading axis: the tasks' (`joint_gradients`,
      `separate_gradients`), sets' (`set_gradients`), or a combiner's.
    - `optimiser`: a number is the learning rate of plain SGD; else any optimiser over `params`, with its `state` as it
      is now (None: a fresh one), so that momentum, Adam or weight decay look ahead as they would step.
    - `step_heads`: False leaves what is not shared as it is, as TAG does. True steps it first, with the gradient of the
      sum of the losses, in the numerator only, as IT-MTL does: L_j(theta'_i, phi'_j) against L_j(theta, phi_j); all
      entries then hold the same head's progress, which a comparison of sources does not see.
    - `gradients`: the tasks' gradients, for `linear`.

    The optimiser sees one gradient for all of `params`; for TAG it is zero outside of the shared ones, and what the
    optimiser would do there (momentum, decay) is dropped. Costs a forward pass for each candidate.
    """
    optimiser = optimiser if isinstance(optimiser, optax.GradientTransformation) else optax.sgd(optimiser)
    state = optimiser.init(eqx.filter(params, eqx.is_inexact_array)) if state is None else state
    params, candidates, state, gradients = apart_from_the_rest((params, candidates, state, gradients))
    moving, rest = split(params, shared)
    heads, constant = eqx.partition(rest, eqx.is_inexact_array)
    if step_heads:
        heads_gradient = jax.grad(lambda h: losses(eqx.combine(moving, h, constant)).sum())(heads)
    else:
        heads_gradient = jax.tree.map(jnp.zeros_like, heads)
    before = losses(params)
    unknown = jnp.full_like(before, jnp.nan)

    def look(candidate: PyTree) -> tuple[Array, Array]:
        current = eqx.combine(moving, heads)
        stepped, _ = optimiser_step(optimiser, current, eqx.combine(candidate, heads_gradient), state)
        moved, new_heads = split(stepped, shared)
        after = losses(eqx.combine(moved, new_heads if step_heads else heads, constant))
        if gradients is None:
            return after, unknown
        shift = jax.tree.map(lambda new, old: new - old, moved, moving)
        parts = jax.tree.map(lambda g, d: jnp.tensordot(g, d, axes=d.ndim).astype(before.dtype), gradients, shift)
        return after, sum(jax.tree.leaves(parts), jnp.zeros_like(before))

    after, linear = jax.lax.map(look, candidates)
    return Effects(before, after, linear)


def transference(effects: Effects) -> Float[Array, "sources tasks"]:
    """Z = 1 - after / before, the papers' measure, for positive losses; NaN for tasks whose loss is not positive.

    A constant added to a loss changes it, and near zero loss it is mostly noise; see `gain` for what is free of both.
    The papers' code divides by the learning rate of the moment; this does not.
    """
    before = effects.before[None]
    return jnp.where(before > 0, 1 - effects.after / jnp.where(before > 0, before, 1.0), jnp.nan)


def decrease(effects: Effects) -> Float[Array, "sources tasks"]:
    """before - after, in the units of each loss; for losses of any sign, comparable within a column only."""
    return effects.before[None] - effects.after


def gain(effects: Effects) -> Float[Array, "tasks tasks"]:
    """The decrease in units of what the task's own step promises: (before - after)_ij / |linear_jj|.

    Ours, not the papers': for losses of any sign, such as an actor's. About 1 on the diagonal while steps are small; to
    first order, under SGD, g_i.g_j / |g_j|^2. Constants and factors of j's loss, and the learning rate, drop out. The
    sources must be the tasks; NaN for tasks whose own step promises nothing (a zero gradient).
    """
    own = jnp.abs(jnp.diagonal(effects.linear))[None]
    return jnp.where(own > 0, decrease(effects) / jnp.where(own > 0, own, 1.0), jnp.nan)


def curvature(effects: Effects) -> Float[Array, "sources tasks"]:
    """2 [after - before - linear]: the second-order part of what a step does, as PCGrad's paper measures it.

    PCGrad (arXiv 2001.06782) has it for the sum of the losses under the step of all tasks: take the set of all tasks as
    a source, and sum its row.
    """
    return 2 * (effects.after - effects.before[None] - effects.linear)
