"""GradVac: gradients turned towards running cosines (Wang et al. 2021, arXiv 2010.05874)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.draws import random_orders
from polytask.combine.scale import as_sum

# Targets this near to 1 would divide by the rounding of 1 - target^2.
LARGEST_TARGET = 1 - 1e-6


def gradvac(beta: float = 0.01) -> Weighting:
    """d = sum_i g_i'; each g_i' starts as g_i, and for j != i in random order: with phi = cos(g_i', g_j) below the
    target t_ij, g_i' += g_j ||g_i'|| (t_ij sqrt(1 - phi^2) - phi sqrt(1 - t_ij^2)) / (||g_j|| sqrt(1 - t_ij^2)), which
    makes the cosine t_ij; then t_ij <- (1 - beta) t_ij + beta phi (Algorithm 1, targets from 0).

    - `beta`: the pace of the targets; the paper's. 0 is PCGrad.

    In arithmetic on the Gramian, as `pcgrad`, over whole gradients (the paper's alternatives are by layer or matrix).
    """

    def init(tasks: int) -> Float[Array, "tasks tasks"]:
        return jnp.zeros((tasks, tasks))

    def weigh(
        inputs: Inputs, state: Float[Array, "tasks tasks"]
    ) -> tuple[Float[Array, " tasks"], Float[Array, "tasks tasks"], Info]:
        gramian = inputs.gramian
        tasks = jnp.arange(gramian.shape[0])
        squares = jnp.diag(gramian)
        usable = inputs.present & (squares > 0)
        lengths = jnp.where(usable, jnp.sqrt(jnp.where(usable, squares, 1.0)), 1.0)

        def turn(
            carry: tuple[Array, Array, Array, Array], others: Int[Array, " tasks"]
        ) -> tuple[tuple[Array, Array, Array, Array], None]:
            dots, own_squares, targets, weights = carry
            dot, target = dots[tasks, others], jnp.minimum(targets[tasks, others], LARGEST_TARGET)
            meets = usable & usable[others] & (others != tasks) & (own_squares > 0)
            own = jnp.sqrt(jnp.where(meets, own_squares, 1.0))
            cosine = jnp.where(meets, jnp.clip(dot / (own * lengths[others]), -1, 1), 0.0)
            sine, target_sine = jnp.sqrt(1 - jnp.square(cosine)), jnp.sqrt(1 - jnp.square(target))
            amount = own / lengths[others] * (target * sine / target_sine - cosine)
            amount = jnp.where(meets & (cosine < target), amount, 0.0)
            moved = (1 - beta) * targets[tasks, others] + beta * cosine
            targets = targets.at[tasks, others].set(jnp.where(meets, moved, targets[tasks, others]))
            own_squares = own_squares + 2 * amount * dot + jnp.square(amount) * squares[others]
            dots = dots + amount[:, None] * gramian[others]
            return (dots, jnp.maximum(own_squares, 0.0), targets, weights.at[others].add(amount)), None

        start = (gramian, squares, state, inputs.present.astype(float))
        orders = random_orders(inputs.key, gramian.shape[0])
        (_, _, targets, weights), _ = jax.lax.scan(turn, start, orders.T)
        return weights, targets, {"target_cosine": targets}

    return Weighting("gramian", init, weigh, as_sum)
