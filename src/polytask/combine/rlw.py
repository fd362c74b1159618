"""RLW: random loss weights (Lin et al. 2022, arXiv 2111.10603)."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.draws import per_task
from polytask.combine.scale import as_mean


def rlw(distribution: Literal["normal", "dirichlet"] = "normal") -> Weighting:
    """d = sum_i w_i g_i with w drawn anew at every step; they sum to 1.

    - `distribution`: "normal" is softmax(x), x standard normal; "dirichlet" is uniform on the simplex.

    Raises ValueError for another distribution.
    """
    if distribution not in ("normal", "dirichlet"):
        raise ValueError(f"rlw's distribution is 'normal' or 'dirichlet', not {distribution!r}")

    def log_weight(key: PRNGKeyArray) -> Float[Array, ""]:
        # A flat Dirichlet is exponential draws divided by their sum.
        return jax.random.normal(key) if distribution == "normal" else jnp.log(jax.random.exponential(key))

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        logits = per_task(log_weight, inputs.key, inputs.present.shape[0])
        return jax.nn.softmax(logits, where=inputs.present), state, {}

    return Weighting("losses", lambda tasks: (), weigh, as_mean)
