"""FAMO: fast adaptive multitask optimisation (Liu et al. 2023, arXiv 2306.03792)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from polytask.combine.adam import Adam, adam_init, adam_step
from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_mean


class FAMOState(NamedTuple):
    """The logits, their optimiser, the losses before the last step, and the tasks whose losses after it are awaited."""

    logits: Float[Array, " tasks"]
    adam: Adam
    losses: Float[Array, " tasks"]
    awaited: Bool[Array, " tasks"]


def famo(learning_rate: float = 0.025, decay: float = 1e-3) -> Weighting:
    """d = c sum_i z_i grad log L_i with z = softmax(xi) and c = 1 / sum_i z_i / L_i, so that the weights c z_i / L_i
    sum to 1 (Algorithm 1). xi moves by Adam along (dz/dxi)^T (log L(before the step) - log L(after it)) + decay xi:
    towards the tasks that improve least.

    - `learning_rate`: of Adam on xi, from 0.

    The losses after the step belong to the same batch and cost one more forward pass: give them by
    `combiner.observe(state, losses_after)` after the optimiser's step, as in the paper. Where that is not called, the
    losses of the next batch take their place: no forward pass, and the noise of two batches. Losses must be positive.
    """

    def init(tasks: int) -> FAMOState:
        return FAMOState(jnp.zeros(tasks), adam_init(tasks), jnp.ones(tasks), jnp.zeros(tasks, bool))

    def observe(state: FAMOState, losses: Float[Array, " tasks"], present: Bool[Array, " tasks"]) -> FAMOState:
        used = state.awaited & present
        improved = jnp.log(state.losses) - jnp.log(jnp.where(used, losses, 1.0))
        shares = jax.nn.softmax(state.logits, where=used)
        mean = jnp.sum(jnp.where(used, shares * improved, 0.0))
        gradient = jnp.where(used, shares * (improved - mean) + decay * state.logits, 0.0)
        logits, adam = adam_step(state.logits, gradient, state.adam, used, learning_rate)
        return FAMOState(logits, adam, state.losses, state.awaited & ~used)

    def weigh(inputs: Inputs, state: FAMOState) -> tuple[Float[Array, " tasks"], FAMOState, Info]:
        state = observe(state, inputs.losses, inputs.present)
        logits = state.logits - jnp.log(inputs.losses)
        after = FAMOState(
            state.logits,
            state.adam,
            jnp.where(inputs.present, inputs.losses, state.losses),
            state.awaited | inputs.present,
        )
        return jax.nn.softmax(logits, where=inputs.present), after, {"logits": state.logits}

    return Weighting("losses", init, weigh, as_mean, positive=True, observe=observe)
