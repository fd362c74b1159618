"""TaskMet's rivals as learners, so that they are one argument apart: two-stage, end-to-end, SPO+ and LODL."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from polytask.losses.divergence import Output, divergences, metric_loss
from polytask.losses.learner import (
    Failure,
    Instances,
    Learner,
    TaskLoss,
    flatten_rows,
    gradient_learner,
    mean_task_loss,
)
from polytask.losses.metric import Metric, semidefinite


def _adam(optimiser: optax.GradientTransformation | None) -> optax.GradientTransformation:
    return optimiser or optax.adam(1e-3)


def _prediction_error(prediction: Array, data: Instances, output: Output) -> Array:
    _, y, _ = flatten_rows(data)
    return jnp.mean(jnp.sum(divergences(prediction.reshape(y.shape), y, output), axis=-1))


def two_stage(
    predictor: eqx.Module,
    metric: Metric | None = None,
    *,
    optimiser: optax.GradientTransformation | None = None,
    batch: int | None = 10,
    output: Output = "real",
) -> Learner:
    """Predict first, decide later: the prediction error, by default squared, under `metric` if given, as it stands.

    With `value_gradient(value)` for the metric this is VaGraM's loss. The metric is not trained; a negative weight or
    eigenvalue in any step is a failure.
    """

    def loss(prediction: Array, data: Instances, prepared: None) -> Array:
        if metric is None:
            return _prediction_error(prediction, data, output)
        x, y, task = flatten_rows(data)
        return metric_loss(metric(x, y, task), prediction.reshape(y.shape), y, output)

    def check(data: Instances) -> Array:
        assert metric is not None
        return jnp.where(semidefinite(metric(*flatten_rows(data))), 0, Failure.METRIC_NOT_POSITIVE)

    return gradient_learner(predictor, loss, _adam(optimiser), batch, check=None if metric is None else check)


def dfl(
    predictor: eqx.Module,
    task_loss: TaskLoss,
    *,
    error_weight: float = 0.0,
    optimiser: optax.GradientTransformation | None = None,
    batch: int | None = 10,
    output: Output = "real",
) -> Learner:
    """Decision-focused learning: the task loss end to end, plus `error_weight` times the prediction error.

    LODL's code, the source of published DFL numbers, adds the squared error with weight one. A task loss without
    gradient over the first steps is a failure, whether or not the error has one.
    """

    def loss(prediction: Array, data: Instances, prepared: None) -> Array:
        return (
            error_weight * _prediction_error(prediction, data, output)
            if error_weight
            else jnp.zeros((), prediction.dtype)
        )

    def task(prediction: Array, data: Instances) -> Array:
        return mean_task_loss(task_loss, prediction, data)

    return gradient_learner(predictor, loss, _adam(optimiser), batch, task=task)


Oracle = Callable[[Array, Any], Array]
"""The best decision for given values: (values, aux) -> z, both (rows, outputs), with the largest sum(values * z)."""


def spo_plus_loss(
    prediction: Float[Array, "rows outputs"], y: Float[Array, "rows outputs"], aux: Any, oracle: Oracle
) -> Float[Array, ""]:
    """SPO+ (Elmachtoub & Grigas 2022, arXiv 1710.08005), for values that are maximised; costs are their negatives.

    max_z (2 p - y) . z - 2 p . z*(y) + y . z*(y): a convex upper bound on the regret of the decision from p. The
    derivative, 2 z*(2 p - y) - 2 z*(y), needs the oracle's answers only, never its derivative.
    """
    best = jax.lax.stop_gradient(oracle(y, aux))
    pessimistic = jax.lax.stop_gradient(oracle(2 * prediction - y, aux))
    return jnp.sum((2 * prediction - y) * pessimistic) - jnp.sum((2 * prediction - y) * best)


def spo_plus(
    predictor: eqx.Module,
    oracle: Oracle,
    *,
    optimiser: optax.GradientTransformation | None = None,
    batch: int | None = 10,
) -> Learner:
    """SPO+ for objectives that are linear in the predicted values; `oracle` is the hard decision."""

    def loss(prediction: Array, data: Instances, prepared: None) -> Array:
        return mean_task_loss(lambda p, y, aux: spo_plus_loss(p, y, aux, oracle), prediction, data)

    return gradient_learner(predictor, loss, _adam(optimiser), batch)
