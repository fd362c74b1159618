"""Task gradients by a shared representation instead of by the parameters behind it (MGDA-UB, IMTL, GradDrop)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from polytask.combine.base import Combined, Combiner, Selector, Weighting
from polytask.combine.engines import LossesFn, PerTask, jacobian
from polytask.combine.finite import poison
from polytask.combine.outputs import split_parameters, with_constants, with_info
from polytask.combine.scale import own_factor
from polytask.combine.step import combine_gradients, combined_gradient


def representation_gradient(
    combiner: Combiner,
    trunk_fn: Callable[[PyTree], PyTree],
    heads_fn: LossesFn,
    trunk: PyTree,
    heads: PyTree,
    state: PyTree,
    *,
    key: PRNGKeyArray,
    present: Bool[Array, " tasks"] | None = None,
) -> Combined:
    """One gradient of all task losses, combined at the representation: one backward pass through the trunk.

    The task gradients are those by z = trunk_fn(trunk); d_z is the combined one, and the trunk gets (dz/dtrunk)^T d_z
    (MGDA-UB, Sener & Koltun 2018, arXiv 1810.04650, section 3.3). Weights follow from inner products of dL_i/dz, which
    are not those of the trunk's gradients: in general another method than on parameters, and much cheaper.

    - `trunk_fn(trunk)`: the representation of the batch, any pytree of arrays; those of no floats have no gradient.
    - `trunk`, `heads`: as `params` of `combined_gradient`.
    - `heads_fn((heads, z))`: the losses (tasks,) and anything beside them. `PerTask` where a task's loss is a function
      of its own; its `loss_fn` takes (heads, z) as parameters. That is faster, for the same gradient.
    - `state`: from `combiner.init(representation, tasks)`: DB-MTL, MoCo and ExcessMTL keep something for each of its
      entries, which makes sense only if the rows of the batch stay the same; all others take any parameters.

    Returns the gradient as (trunk, heads). Heads get the gradient of the sum of losses (of their mean, at scale
    "mean"), or of the weighted losses if the method weighs losses: then all is as by `combined_gradient`. Raises
    ValueError for IT-MTL, which tries steps of parameters.
    """
    method = combiner.method
    if isinstance(method, Selector):
        raise ValueError(f"{combiner.name} tries steps of parameters: use combined_gradient")
    if isinstance(method, Weighting) and method.needs == "losses":

        def losses_fn(params: PyTree) -> Any:
            return heads_fn((params[1], trunk_fn(params[0])))

        return combined_gradient(combiner, losses_fn, (trunk, heads), state, key=key, present=present)
    trunk, fixed_trunk = split_parameters(trunk)
    heads, fixed_heads = split_parameters(heads)

    def represent(trunk: PyTree) -> tuple[PyTree, PyTree]:
        return eqx.partition(trunk_fn(eqx.combine(trunk, fixed_trunk)), eqx.is_inexact_array)

    z, pull_trunk, fixed_z = jax.vjp(represent, trunk, has_aux=True)
    heads_fn = with_constants(heads_fn, (fixed_heads, fixed_z))
    rows = jacobian(_fix_heads(heads_fn, heads), z, None)
    present = jnp.ones(rows.losses.shape, bool) if present is None else present
    combined = combine_gradients(combiner, rows.gradients, rows.losses, state, key=key, present=present)
    _, pull_heads, _ = jax.vjp(lambda h: heads_fn((h, z)), heads, has_aux=True)
    own = poison(pull_heads(own_factor(combiner.scale, present))[0], combined.info)
    return with_info(combined._replace(gradient=(pull_trunk(combined.gradient)[0], own), aux=rows.aux))


def _fix_heads(heads_fn: LossesFn, heads: PyTree) -> LossesFn:
    """The losses as a function of the representation only."""
    if isinstance(heads_fn, PerTask):
        inner = heads_fn.loss_fn
        return heads_fn._replace(loss_fn=lambda z, *rest: inner((heads, z), *rest))
    return lambda z: heads_fn((heads, z))
