"""PCGrad: project conflicting gradients (Yu et al. 2020, arXiv 2001.06782)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.draws import random_orders
from polytask.combine.scale import as_sum


def pcgrad() -> Weighting:
    """d = sum_i g_i^PC; each g_i^PC starts as g_i and loses, for j != i in random order, its component along the
    original g_j wherever their product is negative (Algorithm 1).

    In arithmetic on the Gramian: the products of all g_i^PC with all g_k are kept up to date, one j for every i at a
    time, so that the cost is T^3 and independent of the number of parameters.
    """

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        gramian = inputs.gramian
        tasks = jnp.arange(gramian.shape[0])
        squares = jnp.diag(gramian)
        inverse = jnp.where(squares > 0, 1 / jnp.where(squares > 0, squares, 1.0), 0.0)

        def project(carry: tuple[Array, Array], others: Int[Array, " tasks"]) -> tuple[tuple[Array, Array], None]:
            dots, weights = carry
            dot = jnp.where(others == tasks, 0.0, dots[tasks, others])
            amount = jnp.maximum(-dot, 0.0) * inverse[others]
            return (dots + amount[:, None] * gramian[others], weights.at[others].add(amount)), None

        start = (gramian, inputs.present.astype(float))
        orders = random_orders(inputs.key, gramian.shape[0])
        (_, weights), _ = jax.lax.scan(project, start, orders.T)
        return weights, state, {}

    return Weighting("gramian", lambda tasks: (), weigh, as_sum)
