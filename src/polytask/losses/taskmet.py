"""TaskMet: task-driven metric learning (Bansal et al. 2023, arXiv 2312.05250).

    theta*(phi) = argmin_theta E[(f_theta(x) - y)^T Lambda_phi(x) (f_theta(x) - y)]        the predictor
    phi*        = argmin_phi   E[task_loss(f_theta*(phi)(x), y)]                           the metric

The predictor only ever minimises a prediction error; the task decides what that error weighs.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from polytask.losses.divergence import Output, metric_loss
from polytask.losses.implicit import Hypergradient, Solver, conjugate_gradient, hypergradient
from polytask.losses.learner import (
    PATIENCE,
    Failure,
    Info,
    Instances,
    Learner,
    State,
    TaskLoss,
    check_instances,
    draw,
    finite,
    flatten_rows,
    guarded,
    mean_task_loss,
    predict,
    predictor_of,
    take,
)
from polytask.losses.metric import positive_definite, traces
from polytask.losses.optimiser import optimiser_step

DIVERGED = 1e3
"""An inner loss this many times the largest it started an outer step with has diverged."""


class TaskMetOwn(NamedTuple):
    """What TaskMet carries besides the predictor: the metric, both optimisers, and what its alarms remember."""

    metric: PyTree
    metric_optimiser: Any
    predictor_optimiser: Any
    outer_steps: Int[Array, ""]
    gradient_seen: Bool[Array, ""]
    largest_loss: Float[Array, ""]


class _Inner(NamedTuple):
    step: Array
    parameters: PyTree
    optimiser: Any
    gradient_norm: Array


@dataclasses.dataclass(frozen=True, eq=False)
class _TaskMet:
    """What `taskmet` was given, taken apart into parameters and structure, and the functions that a learner needs."""

    start: PyTree
    static: PyTree
    metric_start: PyTree
    metric_static: PyTree
    task_loss: TaskLoss
    predictor_optimiser: optax.GradientTransformation
    metric_optimiser: optax.GradientTransformation
    inner_steps: int
    first_inner_steps: int
    inner_tolerance: float
    batch: int | None
    solver: Solver
    output: Output

    def metric_values(self, phi: PyTree, data: Instances) -> Array:
        """The metric of every row of every instance, (instances * rows, ...)."""
        return eqx.combine(phi, self.metric_static)(*flatten_rows(data))

    def prediction_loss(self, theta: PyTree, values: Array, data: Instances) -> Array:
        """The predictor's loss under the metric `values`."""
        prediction = predict(eqx.combine(theta, self.static), data.x)
        outputs = data.y.shape[-1]
        return metric_loss(values, prediction.reshape(-1, outputs), data.y.reshape(-1, outputs), self.output)

    def init(self, data: Instances, key: PRNGKeyArray) -> State:
        """Both optimisers at their start."""
        check_instances(data)
        own = TaskMetOwn(
            self.metric_start,
            self.metric_optimiser.init(self.metric_start),
            self.predictor_optimiser.init(self.start),
            jnp.int32(0),
            jnp.bool_(False),
            jnp.zeros((), data.y.dtype),
        )
        return State(self.start, own, jnp.int32(0))

    def descend(self, state: State, data: Instances, key: PRNGKeyArray) -> _Inner:
        """The inner loop. The metric stands still in it, so where that is less work it is taken once, for all rows."""
        instances, own = len(data.y), state.own
        size = instances if self.batch is None else min(self.batch, instances)
        values = None
        if instances <= self.inner_steps * size:
            rows = self.metric_values(own.metric, data)
            values = rows.reshape(*data.y.shape[:2], *rows.shape[1:])
        limit = jnp.where(own.outer_steps == 0, self.first_inner_steps, self.inner_steps)

        def unfinished(carry: _Inner) -> Array:
            return (carry.step < limit) & ~(carry.gradient_norm < self.inner_tolerance)

        def step(carry: _Inner) -> _Inner:
            index = draw(instances, self.batch, jax.random.fold_in(key, carry.step))
            chosen = take(data, index)
            if values is None:
                weights = self.metric_values(own.metric, chosen)
            else:
                weights = values[index].reshape(-1, *values.shape[2:])
            gradient = jax.grad(self.prediction_loss)(carry.parameters, weights, chosen)
            parameters, optimiser = optimiser_step(
                self.predictor_optimiser, carry.parameters, gradient, carry.optimiser
            )
            return _Inner(carry.step + 1, parameters, optimiser, optax.tree.norm(gradient))

        first = _Inner(jnp.int32(0), state.parameters, own.predictor_optimiser, jnp.asarray(jnp.inf, data.y.dtype))
        return jax.lax.while_loop(unfinished, step, first)

    def implicit(self, theta: PyTree, phi: PyTree, data: Instances) -> Hypergradient:
        """The task loss at theta, and its gradient in the metric's parameters through the inner problem."""

        def inner(theta: PyTree, phi: PyTree) -> Array:
            return self.prediction_loss(theta, self.metric_values(phi, data), data)

        def outer(theta: PyTree) -> Array:
            return mean_task_loss(self.task_loss, predict(eqx.combine(theta, self.static), data.x), data)

        return hypergradient(inner, outer, theta, phi, self.solver)

    def step(self, state: State, data: Instances, key: PRNGKeyArray) -> tuple[State, Info]:
        """The inner loop, then one step of the metric."""
        own = state.own
        key_inner, key_outer = jax.random.split(key)
        chosen = take(data, draw(len(data.y), self.batch, key_outer))
        values = self.metric_values(own.metric, chosen)
        largest = jnp.maximum(own.largest_loss, self.prediction_loss(state.parameters, values, chosen))
        inner = self.descend(state, data, key_inner)
        found = self.implicit(inner.parameters, own.metric, chosen)
        metric, metric_optimiser = optimiser_step(
            self.metric_optimiser, own.metric, found.gradient, own.metric_optimiser
        )
        seen = own.gradient_seen | (found.outer_gradient > 0)
        steps = own.outer_steps + 1
        tests = {
            Failure.METRIC_NOT_POSITIVE: ~positive_definite(values),
            Failure.INNER_DIVERGED: ~finite(inner.parameters) | ~(found.inner <= DIVERGED * largest + 1e-6),
            Failure.TASK_NOT_FINITE: ~finite(found.outer, found.outer_gradient),
            Failure.NO_TASK_GRADIENT: ~seen & (steps >= PATIENCE),
            Failure.LOSS_NOT_FINITE: ~finite(metric),
        }
        failure = jnp.select(list(tests.values()), [jnp.int32(code) for code in tests], jnp.int32(0))
        new = TaskMetOwn(metric, metric_optimiser, inner.optimiser, steps, seen, largest)
        after = guarded(state, inner.parameters, new, failure)
        return after, {
            "loss": found.inner,
            "task_loss": found.outer,
            "task_gradient": found.outer_gradient,
            "inner_residual": found.inner_residual,
            "solve_residual": found.solve_residual,
            "metric_trace": jnp.mean(traces(values)),
            "inner_steps": inner.step,
            "failure": after.failure,
        }


def taskmet(
    predictor: eqx.Module,
    metric: eqx.Module,
    task_loss: TaskLoss,
    *,
    predictor_optimiser: optax.GradientTransformation | None = None,
    metric_optimiser: optax.GradientTransformation | None = None,
    inner_steps: int = 100,
    first_inner_steps: int = 500,
    inner_tolerance: float = 1e-3,
    batch: int | None = 10,
    solver: Solver | None = None,
    output: Output = "real",
) -> Learner:
    """A predictor that minimises its error under `metric`, and a metric that descends `task_loss` through that minimum.

    One step of this learner: `inner_steps` minibatch steps of the predictor from where it stood, then one step of the
    metric along the implicit gradient, estimated on one more minibatch. The defaults are those of TaskMet's code.

    - `predictor`: any Equinox module from a row of x to a row of predictions.
    - `metric`: see `polytask.losses.metric`.
    - `task_loss(prediction, y, aux)`: the cost of the decision for one instance, differentiable in the prediction.
    - `predictor_optimiser`, `metric_optimiser`: Adam 1e-3 by default, the metric's gradients clipped to norm 1.
    - `inner_steps`, `first_inner_steps`: inner steps for each outer step, and before the first one.
    - `inner_tolerance`: the inner loop stops early at this norm of a minibatch's gradient.
    - `batch`: instances for each inner step and for each implicit gradient, drawn with replacement; None for all.
    - `solver`: of the damped normal equations: `conjugate_gradient()` by default, or `direct()` for small predictors.
    - `output`: real, or logits that are binary or categorical.

    Each step tells "loss" (under the metric), "task_loss", "task_gradient", "inner_residual" (the norm of the inner
    gradient where the implicit one was taken), "solve_residual", "metric_trace", "inner_steps" and "failure". Where the
    inner problem has not converged the gradient is off in proportion to "inner_residual" (docs/task_losses.md).

    Problems: a task loss without gradient over the first steps, a metric that is not positive definite, an inner loop
    that diverges, a task loss that is not finite. Minibatches with replacement are ours; the paper's code does not run.
    """
    if inner_steps < 1 or first_inner_steps < 1:
        raise ValueError("inner_steps and first_inner_steps must be at least 1: the metric acts through the inner loop")
    start, static = eqx.partition(predictor, eqx.is_inexact_array)
    metric_start, metric_static = eqx.partition(metric, eqx.is_inexact_array)
    pieces = _TaskMet(
        start,
        static,
        metric_start,
        metric_static,
        task_loss,
        predictor_optimiser or optax.adam(1e-3),
        metric_optimiser or optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
        inner_steps,
        first_inner_steps,
        inner_tolerance,
        batch,
        solver or conjugate_gradient(),
        output,
    )
    return Learner(pieces.init, pieces.step, lambda state: predictor_of(state, static))


def learned_metric(state: State, metric: eqx.Module) -> Any:
    """The metric in a state of `taskmet`; `metric` is the module that TaskMet started from."""
    return eqx.combine(state.own.metric, eqx.partition(metric, eqx.is_inexact_array)[1])
