"""LPS: loss prioritisation, of MT-CP (WACV 2025), by its equations and without what its release does to them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_sum


class LPSState(NamedTuple):
    """Sums and counts of the losses of this period; the compressed means of the last one (zero before there are any)
    and of the one before it; how many periods are over; and the steps into this period."""

    sums: Float[Array, " tasks"]
    counts: Float[Array, " tasks"]
    last: Float[Array, " tasks"]
    before_last: Float[Array, " tasks"]
    periods: Int[Array, ""]
    step: Int[Array, ""]


def lps(period: int, kappa: float = 1.6) -> Weighting:
    """Tasks whose losses fall more slowly than those of all count more. With l_i = log(L_i + 1 + 1e-6), L_i the mean
    loss of a period:

    - in the first period 1 each; in the second w_i proportional to sum_j l_j / l_i;
    - from then on r_i = (l_i / l_i before) / (sum_j l_j / sum_j l_j before), w_i = mean r + kappa (r_i - mean r).

    - `period`: in steps; the release's is an epoch.
    - `kappa`: how far weights spread; 0 weighs all alike. The release has 7.5 on NYUD, 1.6 on PASCAL.

    Deviations: weights are clamped at 0, below which large kappas bring them, and add up to the number of present
    tasks; as printed those of the second period add up to its square at least. A task that is absent for a whole period
    keeps its last mean. Losses must not be negative. Raises ValueError for a period that is not positive or a negative
    kappa.
    """
    if period < 1 or kappa < 0:
        raise ValueError("lps needs period >= 1 (in steps) and kappa >= 0")

    def init(tasks: int) -> LPSState:
        zero = jnp.zeros(tasks)
        return LPSState(zero, zero, zero, zero, jnp.int32(0), jnp.int32(0))

    def weigh(inputs: Inputs, state: LPSState) -> tuple[Float[Array, " tasks"], LPSState, Info]:
        present = inputs.present.astype(float)
        priorities = _priorities(state, inputs.present, kappa)
        total = priorities.sum()
        weights = jnp.where(total > 0, priorities * present.sum() / jnp.where(total > 0, total, 1.0), present)

        sums, counts = state.sums + present * inputs.losses, state.counts + present
        seen = counts > 0
        compressed = jnp.log(jnp.maximum(sums / jnp.maximum(counts, 1), 0) + 1 + 1e-6)
        ended = LPSState(
            jnp.zeros_like(sums),
            jnp.zeros_like(counts),
            jnp.where(seen, compressed, state.last),
            jnp.where(seen, state.last, state.before_last),
            state.periods + 1,
            jnp.int32(0),
        )
        goes_on = state._replace(sums=sums, counts=counts, step=state.step + 1)
        end = state.step + 1 == period
        return weights, jax.tree.map(lambda e, g: jnp.where(end, e, g), ended, goes_on), {}

    return Weighting("losses", init, weigh, as_sum)


def _priorities(state: LPSState, present: Array, kappa: float) -> Float[Array, " tasks"]:
    """What weights are proportional to; 0 for absent tasks. A task without a period before it is like the mean."""
    known = present & (state.last > 0)
    last = jnp.where(known, state.last, 1.0)
    inverse = jnp.where(known, jnp.where(known, last, 0.0).sum() / last, 0.0)
    middle = inverse.sum() / jnp.maximum(known.sum(), 1).astype(float)
    first = jnp.where(known, inverse, jnp.where(middle > 0, middle, 1.0))

    twice = known & (state.before_last > 0)
    before = jnp.where(twice, state.before_last, 1.0)
    together = jnp.where(twice, last, 0.0).sum() / jnp.maximum(jnp.where(twice, before, 0.0).sum(), 1e-30)
    rate = jnp.where(twice, last / before / jnp.maximum(together, 1e-30), 0.0)
    mean = rate.sum() / jnp.maximum(twice.sum(), 1).astype(float)
    later = jnp.where(twice, mean + kappa * (rate - mean), mean)

    found = jnp.where(state.periods == 0, 1.0, jnp.where(twice.any(), later, first))
    return jnp.where(present, jnp.maximum(found, 0), 0.0)
