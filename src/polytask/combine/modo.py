"""MoDo: simplex weights from two independent batches (Chen et al. 2023, arXiv 2305.20057)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_mean
from polytask.combine.sdmgrad import project_on_simplex


def modo(gamma: float = 0.1, rho: float = 0.0) -> Weighting:
    """d = sum_i lambda_i g_i with lambda <- simplex(lambda - gamma (J J'^T lambda + rho lambda)) (Algorithm 1), J' the
    task gradients of an independent batch: then the step of lambda is unbiased.

    - `gamma`: in units of 1 / squared gradient: lambda depends on the gradients' size.
    - `rho`: regularisation towards equal weights, of the official code.

    Give the second batch as `independent`; without one J' is J, and the method biased. Deviation: the paper takes a
    third batch for d; ours is the first. Absent tasks keep their lambda. Raises ValueError for gamma <= 0 or rho < 0.
    """
    if gamma <= 0 or rho < 0:
        raise ValueError("modo needs gamma > 0 and rho >= 0")

    def init(tasks: int) -> Float[Array, " tasks"]:
        return jnp.full(tasks, 1 / tasks)

    def weigh(
        inputs: Inputs, state: Float[Array, " tasks"]
    ) -> tuple[Float[Array, " tasks"], Float[Array, " tasks"], Info]:
        start = project_on_simplex(state, inputs.present)
        matrix = inputs.gramian if inputs.cross is None else inputs.cross
        slope = jnp.square(inputs.scale) * (matrix @ start) + rho * start
        weights = project_on_simplex(start - gamma * slope, inputs.present)
        return weights, jnp.where(inputs.present, weights, state), {}

    return Weighting("gramian", init, weigh, as_mean, independent=True)
