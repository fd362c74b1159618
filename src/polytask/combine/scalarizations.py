"""Scalar functions of the losses other than sums: the geometric mean (GLS) and smooth Tchebycheff (STCH)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting


def gls() -> Weighting:
    """The gradient of (prod_i L_i)^(1/n) over the n present tasks (Chennupati et al. 2019, arXiv 1904.08492): weights
    proportional to 1 / L_i. Losses must be positive."""

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        present = inputs.present.astype(float)
        count = jnp.maximum(present.sum(), 1)
        log_mean = jnp.sum(present * jnp.log(inputs.losses)) / count
        weights = present * jnp.exp(log_mean - jnp.log(inputs.losses)) / count
        return weights, state, {"objective": jnp.exp(log_mean)}

    return Weighting("losses", lambda tasks: (), weigh, positive=True)


def stch(
    mu: float = 1.0, preferences: Sequence[float] | None = None, ideal: Sequence[float] | None = None
) -> Weighting:
    """The gradient of mu log sum_i exp(lambda_i (L_i - z_i) / mu), a smooth maximum (Lin et al. 2024, arXiv 2402.19078,
    equation 5): weights lambda_i softmax(lambda (L - z) / mu)_i.

    - `mu`: in units of the losses; the smaller, the more the largest loss alone counts.
    - `preferences`: lambda, one for each task; 1/n each over the n present tasks, if None.
    - `ideal`: z, the losses that cannot be undercut; 0, if None.

    Raises ValueError for mu <= 0, or if there are not as many preferences or ideal losses as tasks.
    """
    if mu <= 0:
        raise ValueError(f"stch's mu is positive, in units of the losses, not {mu}")

    def init(tasks: int) -> tuple[()]:
        for name, values in (("preferences", preferences), ("ideal", ideal)):
            if values is not None and len(values) != tasks:
                raise ValueError(f"stch has {len(values)} {name} for {tasks} tasks: give one for each")
        return ()

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        count = jnp.maximum(inputs.present.sum(), 1).astype(float)
        prefer = inputs.present.astype(float) / count if preferences is None else jnp.asarray(preferences, float)
        excess = inputs.losses if ideal is None else inputs.losses - jnp.asarray(ideal, float)
        logits = prefer * excess / mu
        objective = mu * jax.nn.logsumexp(logits, where=inputs.present)
        return prefer * jax.nn.softmax(logits, where=inputs.present), state, {"objective": objective}

    return Weighting("losses", init, weigh)
