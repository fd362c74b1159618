"""ExcessMTL: weights by excess risk (He et al. 2024, arXiv 2402.02009)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from polytask.combine.base import Aggregator, Info
from polytask.combine.gramian import weighted_sum
from polytask.combine.scale import as_mean


class ExcessState(NamedTuple):
    """The sums of squared gradients, log weights, and each task's first excess risk (zero before there is one)."""

    squares: PyTree
    log_weights: Float[Array, " tasks"]
    first: Float[Array, " tasks"]


def excess_mtl(step_size: float = 1.0) -> Aggregator:
    """d = sum_i w_i g_i with w_i <- w_i exp(step_size e_i / e_i(first)), divided by their sum (equation 9), where the
    excess risk e_i = g_i^T diag(sum_t g_i^2)^(-1/2) g_i comes from the running sums of squares (equations 6 and 7).

    The weights stay equal in a task's first step, as in the official code. Deviation: coordinates that have had no
    gradient are left out, where the code adds 1e-7 to the sums; so e does not depend on the gradients' scale. The
    state is tasks x parameters. Raises ValueError for step_size <= 0.
    """
    if step_size <= 0:
        raise ValueError(f"excess_mtl's step_size is positive, not {step_size}")

    def init(params: PyTree, tasks: int) -> ExcessState:
        squares = jax.tree.map(lambda p: jnp.zeros((tasks, *p.shape)), params)
        return ExcessState(squares, jnp.zeros(tasks), jnp.zeros(tasks))

    def aggregate(
        gradients: PyTree,
        losses: Float[Array, " tasks"],
        present: Bool[Array, " tasks"],
        key: PRNGKeyArray,
        state: ExcessState,
    ) -> tuple[PyTree, ExcessState, Info]:
        del losses, key
        # Absent tasks' gradients are zero: their sums stay.
        squares = jax.tree.map(lambda s, g: s + jnp.square(g), state.squares, gradients)

        def risk(square: Array, gradient: Array) -> Array:
            terms = jnp.where(square > 0, jnp.square(gradient) * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)
            return terms.reshape(terms.shape[0], -1).sum(1)

        excess = sum(map(risk, jax.tree.leaves(squares), jax.tree.leaves(gradients)), start=jnp.zeros(()))
        known = state.first > 0
        ratio = jnp.where(known, excess / jnp.where(known, state.first, 1.0), 0.0)
        logits = jnp.where(present, state.log_weights + step_size * ratio, state.log_weights)
        # Only ratios of weights count; the largest at one keeps them from growing without bound.
        logits = logits - jnp.max(logits)
        first = jnp.where(present & ~known, excess, state.first)
        weights = jax.nn.softmax(logits, where=present)
        return weighted_sum(weights, gradients), ExcessState(squares, logits, first), {"weights": weights}

    return Aggregator(init, aggregate, as_mean)
