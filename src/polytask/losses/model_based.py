"""Losses for the model of model-based RL: likelihood, value-aware, and through the optimal value function.

The first three are of one prediction and the state that followed, `loss(prediction, next_state)`; batch them with
`vmap`.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from polytask.losses.implicit import Hypergradient, Solver, conjugate_gradient, hypergradient, identity_inverse

Value = Callable[[Float[Array, " state"]], Float[Array, ""]]


def mle_loss(
    prediction: Float[Array, " state"],
    next_state: Float[Array, " state"],
    log_variance: Float[Array, " state"] | None = None,
) -> Float[Array, ""]:
    """-log N(next_state; prediction, variance) up to a constant; with variance one, half the squared error."""
    error = jnp.square(prediction - next_state)
    if log_variance is None:
        return jnp.sum(error) / 2
    return jnp.sum(error * jnp.exp(-log_variance) + log_variance) / 2


def vagram_loss(
    value: Value, prediction: Float[Array, " state"], next_state: Float[Array, " state"], clip: float = jnp.inf
) -> Float[Array, ""]:
    """sum_d (dV/ds_d)^2 (p_d - s_d)^2, the gradient of the value at the true next state s (VaGraM, arXiv 2204.01464).

    - `clip`: the largest norm of the gradient, which is shortened to it. VaGraM clips at the 95 % quantile over a
      batch; in its code, which tests `norm < q or norm < 1e5`, that almost never happens.
    """
    gradient = jax.lax.stop_gradient(jax.grad(value)(next_state))
    norm = jnp.linalg.norm(gradient)
    shortened = gradient * jnp.where(norm > clip, clip / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny), 1)
    return jnp.sum(jnp.square(shortened) * jnp.square(prediction - next_state))


def itervaml_loss(
    value: Value, prediction: Float[Array, " state"], next_state: Float[Array, " state"]
) -> Float[Array, ""]:
    """(V(p) - V(s))^2: only the value of the next state must come out right (IterVAML, Farahmand 2018)."""
    return jnp.square(value(prediction) - jax.lax.stop_gradient(value(next_state)))


def optimal_model_gradient(
    model_bellman_loss: Callable[[PyTree, PyTree], Float[Array, ""]],
    true_bellman_loss: Callable[[PyTree], Float[Array, ""]],
    q_parameters: PyTree,
    model_parameters: PyTree,
    solver: Solver | None = None,
) -> Hypergradient:
    """The model's gradient in OMD (Nikishin et al. 2022, arXiv 2106.03273): through the Q-function optimal under it.

    The inner problem is Q* = argmin_Q of the Bellman error under the model, `model_bellman_loss(q, model)`, with
    targets held fixed; the outer loss is Q*'s Bellman error on real transitions. There is no prediction loss.

    - `q_parameters`: where the inner problem has (nearly) been solved; see `inner_residual` in the result.
    - `solver`: `identity_inverse()`, the default of OMD's code, or `conjugate_gradient(100)`, its alternative.
    """
    return hypergradient(
        model_bellman_loss, true_bellman_loss, q_parameters, model_parameters, solver or identity_inverse()
    )


def optimal_metric_gradient(
    prediction_loss: Callable[[PyTree, PyTree], Float[Array, ""]],
    model_bellman_loss: Callable[[PyTree, PyTree], Float[Array, ""]],
    true_bellman_loss: Callable[[PyTree], Float[Array, ""]],
    q_parameters: PyTree,
    model_parameters: PyTree,
    metric_parameters: PyTree,
    solver: Solver | None = None,
    q_solver: Solver | None = None,
) -> Hypergradient:
    """The metric's gradient in TaskMet for model-based RL (arXiv 2312.05250): through the model, and its Q-function.

    Two implicit problems, one in the other: model* = argmin of `prediction_loss(model, metric)`, Q* = argmin_Q of
    `model_bellman_loss(q, model*)`; the task loss is Q*'s Bellman error on real transitions. The inner one is OMD's.

    - `solver`: for the model, `conjugate_gradient()` by default; `q_solver`: as `solver` of `optimal_model_gradient`.

    In the result "outer" and "inner" are the task loss and the prediction loss, "outer_gradient" the norm of the task
    loss's gradient in the model.
    """
    through_q = optimal_model_gradient(model_bellman_loss, true_bellman_loss, q_parameters, model_parameters, q_solver)
    slope = jax.lax.stop_gradient(through_q.gradient)

    def along(model: PyTree) -> Float[Array, ""]:
        """A linear function with the gradient that was found: all that the outer problem still needs."""
        return jnp.asarray(optax.tree.vdot(slope, eqx.filter(model, eqx.is_inexact_array)))

    found = hypergradient(prediction_loss, along, model_parameters, metric_parameters, solver or conjugate_gradient())
    return found._replace(outer=through_q.outer)
