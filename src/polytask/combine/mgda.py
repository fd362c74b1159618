"""MGDA: the shortest convex combination (Désidéri 2012; Sener & Koltun 2018, arXiv 1810.04650)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_mean
from polytask.combine.solvers import directions, kkt_residual, nonnegative_qp, precise, share


def mgda() -> Weighting:
    """d = sum_i w_i g_i with w = argmin w^T G w over w >= 0, sum_i w_i = 1 (Sener & Koltun 2018).

    d does not conflict with any task, and is zero at Pareto-stationary points. So a task whose gradient is zero gets
    all the weight (shared, if there are several), and d is zero. Weights do not change if all gradients are scaled.

    info["residual"]: the KKT residual max_i |min(x_i, y_i)| with x_i = w_i ||g_i|| / sum_j w_j ||g_j|| and
    y_i = (<g_i, d> - ||d||^2) / (||g_i|| sum_j w_j ||g_j||).
    """

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        # With x_i = w_i n_i: minimise x^T C x subject to a^T x = 1, a = 1 / n. Up to a factor x also minimises
        # x^T C x + (a^T x - 1)^2 over x >= 0, because the second term only decides how long x is.
        shortest = jnp.min(jnp.where(to.active, to.norms, 1.0))
        inverse = jnp.where(to.active, shortest / to.norms, 0.0)
        x, _ = nonnegative_qp(to.cosines + inverse[:, None] * inverse[None], inverse, to.active)
        x = share(x)
        products = to.cosines @ x
        multiplier = x @ products / jnp.where(x @ inverse == 0, 1.0, x @ inverse)
        stationary = to.zero.any()
        residual = kkt_residual(x, products - multiplier * inverse, jnp.ones(()), to.active)
        weights = jnp.where(stationary, share(to.zero.astype(float)), share(x * inverse))
        return weights, state, {"residual": jnp.where(stationary, 0.0, residual)}

    return Weighting("gramian", lambda tasks: (), weigh, as_mean)
