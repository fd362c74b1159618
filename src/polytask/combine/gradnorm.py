"""GradNorm: loss weights that balance the lengths of gradients (Chen et al. 2018, arXiv 1711.02257)."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from polytask.combine.adam import Adam, adam_init, adam_step
from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_sum

SMALLEST = 1e-3


class GradNormState(NamedTuple):
    """The weights, their optimiser, and each task's first loss, with the tasks that have had one."""

    weights: Float[Array, " tasks"]
    adam: Adam
    first: Float[Array, " tasks"]
    started: Bool[Array, " tasks"]


def gradnorm(alpha: float = 1.5, learning_rate: float = 0.025) -> Weighting:
    """d = sum_i w_i g_i; w descends sum_i | w_i ||g_i|| - m r_i^alpha | with the target held fixed, where m is the mean
    of w_j ||g_j|| and r_i the task's L_i / L_i(first) divided by its mean over tasks (Algorithm 1). w sums to n.

    - `alpha`: how strongly tasks are pulled to one pace of training.
    - `learning_rate`: of Adam on w, from 1.

    The step at hand uses the weights before their update, as in the paper. Deviations: lengths are those of whole
    gradients (the paper: of the last shared layer; give `shared` for that), relative to the longest, which changes
    Adam's step by its epsilon only; w stays above 1e-3, where the paper's may turn negative. Losses must be positive.
    """

    def init(tasks: int) -> GradNormState:
        return GradNormState(jnp.ones(tasks), adam_init(tasks), jnp.ones(tasks), jnp.zeros(tasks, bool))

    def weigh(inputs: Inputs, state: GradNormState) -> tuple[Float[Array, " tasks"], GradNormState, Info]:
        present = inputs.present
        count = jnp.maximum(present.sum(), 1).astype(float)
        weights = jnp.where(present, state.weights, 0.0)
        weights = weights * count / jnp.maximum(weights.sum(), SMALLEST)
        first = jnp.where(present & ~state.started, inputs.losses, state.first)

        lengths = jnp.sqrt(jnp.where(present, jnp.diag(inputs.gramian), 0.0))
        progress = jnp.where(present, inputs.losses / first, 0.0)
        pace = progress / (progress.sum() / count)
        target = jnp.sum(weights * lengths) / count * pace**alpha
        gradient = jnp.sign(weights * lengths - target) * lengths
        moved, adam = adam_step(weights, gradient, state.adam, present, learning_rate)
        moved = jnp.maximum(moved, SMALLEST)
        moved = moved * count / jnp.maximum(jnp.where(present, moved, 0.0).sum(), SMALLEST)
        after = GradNormState(jnp.where(present, moved, state.weights), adam, first, state.started | present)
        return weights, after, {"pace": pace}

    return Weighting("gramian", init, weigh, as_sum, positive=True)
