"""Combiners as `optax.experimental.aggregating.Aggregator`, to be chained with optimisers by `aggregating.process`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from optax.experimental import aggregating

from polytask.combine.base import Combiner, Selector
from polytask.combine.step import combine_gradients


class OptaxState(NamedTuple):
    """The combiner's state, the key of the first step, and the steps taken."""

    inner: PyTree
    key: PRNGKeyArray
    step: Array


def as_optax(combiner: Combiner, tasks: int, key: PRNGKeyArray) -> aggregating.Aggregator:
    """`update(gradients, state, params, losses=..., present=...)` on gradients with a leading task axis.

    - `losses`: (tasks,); may be left out for methods that look at gradients only.
    - `present`: as in `combine_gradients`; so are leaves that are no arrays of floats.

    Raises ValueError for IT-MTL, which needs the loss function, not only gradients, and for missing losses.
    """
    if isinstance(combiner.method, Selector):
        raise ValueError(f"{combiner.name} needs the loss function: use combined_gradient")

    def init(params: PyTree) -> OptaxState:
        return OptaxState(combiner.init(params, tasks), key, jnp.int32(0))

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        losses: Float[Array, " tasks"] | None = None,
        present: Bool[Array, " tasks"] | None = None,
        **extra: Any,
    ) -> tuple[PyTree, OptaxState]:
        del params, extra
        if losses is None:
            if combiner.method.positive or getattr(combiner.method, "needs", None) == "losses":
                raise ValueError(f"{combiner.name} looks at the losses: give update its losses=...")
            losses = jnp.ones(tasks)
        step_key = jax.random.fold_in(state.key, state.step)
        done = combine_gradients(combiner, updates, losses, state.inner, key=step_key, present=present)
        return done.gradient, OptaxState(done.state, state.key, state.step + 1)

    return aggregating.Aggregator(init, update)
