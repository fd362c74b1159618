"""Task gradients by a shared representation instead of by the parameters behind it (MGDA-UB, IMTL, GradDrop)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from polytask.combine.base import Combined, Combiner, Selector
from polytask.combine.engines import Losses
from polytask.combine.finite import poison
from polytask.combine.scale import own_factor
from polytask.combine.step import combine_gradients


def representation_gradient(
    combiner: Combiner,
    trunk_fn: Callable[[PyTree], PyTree],
    heads_fn: Callable[[PyTree, PyTree], tuple[Losses, Any]],
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

    - `trunk_fn(trunk)`: the representation of the batch, any pytree.
    - `heads_fn(heads, z)`: the losses (tasks,) and anything beside them.
    - `state`: from `combiner.init(representation, tasks)`: DB-MTL, MoCo and ExcessMTL keep something for each of its
      entries, which makes sense only if the rows of the batch stay the same; all others take any parameters.

    Returns the gradient as (trunk, heads). Heads get the gradient of the sum of losses (of their mean, at scale
    "mean"). Raises ValueError for IT-MTL, which tries steps of parameters.
    """
    if isinstance(combiner.method, Selector):
        raise ValueError(f"{combiner.name} tries steps of parameters: use combined_gradient")
    z, pull_trunk = jax.vjp(trunk_fn, trunk)
    losses, pull, aux = jax.vjp(heads_fn, heads, z, has_aux=True)
    present = jnp.ones(losses.shape, bool) if present is None else present
    gradients = jax.vmap(lambda seed: pull(seed)[1])(jnp.eye(losses.shape[0], dtype=losses.dtype))
    combined = combine_gradients(combiner, gradients, losses, state, key=key, present=present)
    own = poison(pull(own_factor(combiner.scale, present))[0], combined.info)
    return combined._replace(gradient=(pull_trunk(combined.gradient)[0], own), aux=aux)
