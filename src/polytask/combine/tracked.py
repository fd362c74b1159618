"""Methods that follow running means of the task gradients: DB-MTL and MoCo. Their state is tasks x parameters."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from polytask.combine.base import Aggregator, Info
from polytask.combine.gramian import gramian, norms, weighted_sum
from polytask.combine.sdmgrad import project_on_simplex


class Tracked(NamedTuple):
    """Running means, with the sum of the coefficients of the gradients in each, and how often each was updated."""

    means: PyTree
    total: Float[Array, " tasks"]
    updates: Float[Array, " tasks"]


def start_tracking(params: PyTree, tasks: int) -> Tracked:
    """Means of zero."""
    means = jax.tree.map(lambda p: jnp.zeros((tasks, *p.shape)), params)
    return Tracked(means, jnp.zeros(tasks), jnp.zeros(tasks))


def track(
    state: Tracked,
    gradients: PyTree,
    factor: Float[Array, " tasks"],
    pace: Float[Array, " tasks"],
    present: Bool[Array, " tasks"],
) -> Tracked:
    """means <- means + pace (factor gradients - means), for the present tasks."""
    new, old = jnp.where(present, pace * factor, 0.0), jnp.where(present, 1 - pace, 1.0)

    def one(mean: Array, gradient: Array) -> Array:
        shape = (-1, *[1] * (mean.ndim - 1))
        return old.reshape(shape) * mean + new.reshape(shape) * gradient

    means = jax.tree.map(one, state.means, gradients)
    return Tracked(means, old * state.total + new, state.updates + present.astype(float))


def db_mtl(beta: float = 0.9, sigma: float = 0.5) -> Aggregator:
    """d = max_j ||b_j|| sum_i b_i / ||b_i||, with b_i the running mean of grad log L_i = g_i / L_i at step k:
    b_i <- beta_k b_i + (1 - beta_k) g_i / L_i, beta_k = beta / k^sigma (Lin et al. 2023, arXiv 2308.12029, Algorithm
    1).

    Tasks whose running mean is zero add nothing. Losses must be positive. Raises ValueError unless 0 <= beta < 1.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"db_mtl's beta is from 0 to below 1, not {beta}")

    def aggregate(
        gradients: PyTree,
        losses: Float[Array, " tasks"],
        present: Bool[Array, " tasks"],
        key: PRNGKeyArray,
        state: Tracked,
    ) -> tuple[PyTree, Tracked, Info]:
        del key
        state = track(state, gradients, 1 / losses, 1 - beta / (state.updates + 1) ** sigma, present)
        lengths = jnp.where(present, norms(state.means), 0.0)
        moves = lengths > 0
        weights = jnp.where(moves, lengths.max() / jnp.where(moves, lengths, 1.0), 0.0)
        return weighted_sum(weights, state.means), state, {"weights": weights * state.total}

    return Aggregator(start_tracking, aggregate, positive=True)


class MoCoState(NamedTuple):
    """The tracked gradients, the weights, and the steps taken."""

    tracked: Tracked
    weights: Float[Array, " tasks"]
    step: Float[Array, ""]


def moco(
    beta: float = 0.5, beta_sigma: float = 0.5, gamma: float = 0.1, gamma_sigma: float = 0.5, rho: float = 0.0
) -> Aggregator:
    """d = sum_i lambda_i y_i; at step k the tracked gradients y_i <- y_i + beta_k (g_i - y_i), and lambda <-
    simplex(lambda - gamma_k (Y Y^T + rho I) lambda), the projected descent on || sum_i lambda_i y_i ||^2 / 2 (Fernando
    et al. 2023, "Mitigating gradient bias in multi-objective learning", Algorithm 1). beta_k = beta / k^beta_sigma.

    - `gamma`: in units of 1 / squared gradient: unlike with other methods, lambda depends on the gradients' size.
    - `rho`: regularisation towards equal weights.

    The paper projects y on a ball as well, which it needs for its proof; that is left out, as in its code. Absent tasks
    keep y and lambda. Raises ValueError for beta outside (0, 1], gamma <= 0 or rho < 0.
    """
    if not 0 < beta <= 1 or gamma <= 0 or rho < 0:
        raise ValueError("moco needs 0 < beta <= 1, gamma > 0 and rho >= 0")

    def init(params: PyTree, tasks: int) -> MoCoState:
        return MoCoState(start_tracking(params, tasks), jnp.full(tasks, 1 / tasks), jnp.zeros(()))

    def aggregate(
        gradients: PyTree,
        losses: Float[Array, " tasks"],
        present: Bool[Array, " tasks"],
        key: PRNGKeyArray,
        state: MoCoState,
    ) -> tuple[PyTree, MoCoState, Info]:
        del key
        step = state.step + 1
        pace = jnp.full_like(losses, beta) / step**beta_sigma
        tracked = track(state.tracked, gradients, jnp.ones_like(losses), pace, present)
        seen = gramian(tracked.means, present)
        start = project_on_simplex(state.weights, present)
        slope = jnp.square(seen.scale) * (seen.matrix @ start) + rho * start
        weights = project_on_simplex(start - gamma / step**gamma_sigma * slope, present)
        after = MoCoState(tracked, jnp.where(present, weights, state.weights), step)
        return weighted_sum(weights, tracked.means), after, {"weights": weights * tracked.total}

    return Aggregator(init, aggregate)
