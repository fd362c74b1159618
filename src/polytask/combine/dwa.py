"""DWA: dynamic weight average (Liu, Johns & Davison 2019, arXiv 1803.10704)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_sum


class DWAState(NamedTuple):
    """Sums and counts of the losses of this period, the means of the two before it (zero before there are any), and
    the steps into this period."""

    sums: Float[Array, " tasks"]
    counts: Float[Array, " tasks"]
    last: Float[Array, " tasks"]
    before_last: Float[Array, " tasks"]
    step: Int[Array, ""]


def dwa(period: int, temperature: float = 2.0) -> Weighting:
    """Weights n softmax(r / T) with r_i = mean L_i over the last period / mean L_i over the one before (equation 7);
    1 each until there are two periods. n is the number of present tasks.

    - `period`: in steps; the paper's is an epoch.
    - `temperature`: T.

    A task that is absent for a whole period keeps its last mean. Losses must not change their sign. Raises ValueError
    for a period or temperature that is not positive.
    """
    if period < 1 or temperature <= 0:
        raise ValueError("dwa needs period >= 1 (in steps) and temperature > 0")

    def init(tasks: int) -> DWAState:
        zero = jnp.zeros(tasks)
        return DWAState(zero, zero, zero, zero, jnp.int32(0))

    def weigh(inputs: Inputs, state: DWAState) -> tuple[Float[Array, " tasks"], DWAState, Info]:
        known = state.before_last != 0
        rates = jnp.where(known, state.last / jnp.where(known, state.before_last, 1.0), 1.0)
        present = inputs.present.astype(float)
        weights = present.sum() * jax.nn.softmax(rates / temperature, where=inputs.present)

        sums = state.sums + present * inputs.losses
        counts = state.counts + present
        means = jnp.where(counts > 0, sums / jnp.maximum(counts, 1), state.last)
        seen = counts > 0
        ended = DWAState(
            jnp.zeros_like(sums),
            jnp.zeros_like(counts),
            means,
            jnp.where(seen, state.last, state.before_last),
            jnp.int32(0),
        )
        goes_on = state._replace(sums=sums, counts=counts, step=state.step + 1)
        end = state.step + 1 == period
        after = jax.tree.map(lambda e, g: jnp.where(end, e, g), ended, goes_on)
        return weights, after, {"rate": rates}

    return Weighting("losses", init, weigh, as_sum)
