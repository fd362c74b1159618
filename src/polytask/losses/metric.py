"""Metrics on predictions: what an error in each output costs, fixed or learned, for all tasks or for each.

A metric is a function of rows, `metric(x, y, task)`: inputs (rows, features), targets (rows, outputs) and the index of
each row's task (rows,). It returns one metric for each row: its diagonal (rows, outputs), or the whole positive
definite matrix (rows, outputs, outputs). Any function or Equinox module of this form will do; the learned ones here are
positive definite for every value of their parameters.

"Task-based loss" has been read in three ways. Each is one line:

    per_task(lambda key: LearnedDiagonal(outputs), tasks, key)    # a metric of its own for each task
    WeightedTasks(LearnedDiagonal(outputs), relevance)            # one metric, tasks weighted by relevance
    value_gradient(value)                                         # the task's value as a weight (VaGraM)
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from polytask.losses.divergence import MetricValues
from polytask.losses.precision import at_least_float32


@runtime_checkable
class Metric(Protocol):
    """What TaskMet and the two-stage loss take as a metric."""

    def __call__(
        self, x: Float[Array, "rows features"], y: Float[Array, "rows outputs"], task: Int[Array, " rows"]
    ) -> MetricValues:
        """One metric for each row."""
        ...


def traces(values: MetricValues) -> Float[Array, " rows"]:
    """The trace of each row's metric."""
    return jnp.sum(values, axis=-1) if values.ndim == 2 else jnp.trace(values, axis1=-2, axis2=-1)


def positive_definite(values: MetricValues) -> Array:
    """Whether every row's metric is finite and positive definite, as one boolean."""
    if values.ndim == 2:
        return jnp.all((values > 0) & jnp.isfinite(values))
    # Cholesky reads one triangle only, so an asymmetric matrix must be caught apart.
    mirrored = jnp.swapaxes(values, -1, -2)
    rounding = max(1e-4, 2 * float(jnp.finfo(values.dtype).eps))
    symmetric = jnp.all(jnp.abs(values - mirrored) <= rounding * jnp.max(jnp.abs(values)))
    return symmetric & jnp.all(jnp.isfinite(jnp.linalg.cholesky(at_least_float32(values))))


def semidefinite(values: MetricValues) -> Array:
    """Whether every row's metric is finite and has no negative eigenvalue, to rounding: weights may be zero."""
    if values.ndim == 2:
        return jnp.all((values >= 0) & jnp.isfinite(values))
    values = at_least_float32(values)
    little = 1e-5 * jnp.max(jnp.abs(values)) + jnp.finfo(values.dtype).tiny
    return positive_definite(values + little * jnp.eye(values.shape[-1], dtype=values.dtype)[None])


class FixedMetric(eqx.Module):
    """The same given metric for every row, never trained: a diagonal (outputs,) or a matrix (outputs, outputs).

    Raises ValueError unless it is positive definite.
    """

    values: Float[Array, " outputs"] | Float[Array, "outputs outputs"]

    def __init__(self, values: ArrayLike) -> None:
        array = np.asarray(values, jnp.result_type(float))
        lowest = array.min() if array.ndim == 1 else np.linalg.eigvalsh(array).min()
        if not lowest > 0 or (array.ndim == 2 and not np.allclose(array, array.T, rtol=1e-4)):
            raise ValueError(
                f"the metric is not positive definite (smallest eigenvalue {lowest:.3g}): every weight must be "
                "above zero and a full metric symmetric. Give an output that does not matter a small weight, as 1e-3"
            )
        self.values = jnp.asarray(array)

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        return jax.lax.stop_gradient(jnp.broadcast_to(self.values[None], (x.shape[0], *self.values.shape)))


def identity(outputs: int) -> FixedMetric:
    """The squared error: weight one for every output."""
    return FixedMetric(np.ones(outputs))


class LearnedDiagonal(eqx.Module):
    """A learned weight for each output, exp(log_weights), the same for every input; one at the start."""

    log_weights: Float[Array, " outputs"]

    def __init__(self, outputs: int) -> None:
        self.log_weights = jnp.zeros(outputs)

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        return jnp.broadcast_to(jnp.exp(self.log_weights)[None], (x.shape[0], self.log_weights.shape[0]))


class LearnedFull(eqx.Module):
    """A learned matrix L L^T + e^c I for every input; at the start L = I / sqrt 2 and e^c = 1/2: the identity."""

    factor: Float[Array, "outputs outputs"]
    log_floor: Float[Array, ""]

    def __init__(self, outputs: int) -> None:
        self.factor = jnp.eye(outputs) * 0.5**0.5
        self.log_floor = jnp.log(jnp.asarray(0.5))

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        matrix = self.factor @ self.factor.T + jnp.exp(self.log_floor) * jnp.eye(
            len(self.factor), dtype=self.factor.dtype
        )
        return jnp.broadcast_to(matrix[None], (x.shape[0], *matrix.shape))


class InputMetric(eqx.Module):
    """A metric that depends on the input, L(x) L(x)^T + e^c I, with L(x) a full matrix from an MLP (TaskMet's code).

    - `features`, `outputs`: the sizes of a row of x and of y.
    - `width`, `depth`: the MLP's hidden ReLU layers; 1 x 200 in TaskMet. With `depth=0` it is linear.
    - `identity_init`: divides the last layer's weights by 100 and makes its bias vec(I), so that the metric starts near
      a multiple of the identity. Off in TaskMet's configuration.
    """

    network: eqx.nn.MLP
    log_floor: Float[Array, ""]
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        width: int = 200,
        depth: int = 1,
        identity_init: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        network = eqx.nn.MLP(features, outputs * outputs, width, depth, key=key)
        if identity_init:
            last = network.layers[-1]
            identity_last = (last.weight / 100, jnp.eye(outputs).reshape(-1))
            network = eqx.tree_at(lambda n: (n.layers[-1].weight, n.layers[-1].bias), network, identity_last)
        self.network = network
        self.log_floor = jnp.zeros(())
        self.outputs = outputs

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        floor = jnp.exp(self.log_floor)
        answers = jax.vmap(self.network)(x.astype(floor.dtype))
        if self.outputs == 1:  # the same numbers, several times faster than (rows, 1, 1) matrices
            return jnp.square(answers) + floor
        factor = answers.reshape(-1, self.outputs, self.outputs)
        return factor @ jnp.swapaxes(factor, -1, -2) + floor * jnp.eye(self.outputs, dtype=factor.dtype)[None]


class PerTask(eqx.Module):
    """A metric of its own for each task; `stacked` has a leading task axis. Made by `per_task`."""

    stacked: eqx.Module
    tasks: int = eqx.field(static=True)

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        values = eqx.filter_vmap(lambda metric: metric(x, y, task))(self.stacked)
        return values[task, jnp.arange(x.shape[0])]


def per_task(make: Callable[[PRNGKeyArray], eqx.Module], tasks: int, key: PRNGKeyArray) -> PerTask:
    """`tasks` metrics of the form that `make(key)` gives, one for each task."""
    return PerTask(eqx.filter_vmap(make)(jax.random.split(key, tasks)), tasks)


class WeightedTasks(eqx.Module):
    """One metric for all tasks, times each task's fixed relevance.

    On outputs that tasks share, any weighting of per-task metrics equals one metric, their weighted sum; the two
    readings differ only where the metric is learned per task or the tasks have outputs of their own.

    Raises ValueError unless every relevance is above zero.
    """

    metric: eqx.Module
    relevance: Float[Array, " tasks"]

    def __init__(self, metric: eqx.Module, relevance: ArrayLike) -> None:
        weights = np.asarray(relevance, jnp.result_type(float))
        if weights.ndim != 1 or not (weights > 0).all():
            raise ValueError(
                f"relevance is {weights.tolist()}: give one number above zero for each task, and leave out the data "
                "of a task that does not matter"
            )
        self.metric = metric
        self.relevance = jnp.asarray(weights)

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        values = self.metric(x, y, task)  # pyright: ignore[reportCallIssue]
        weights = jax.lax.stop_gradient(self.relevance)[task].astype(values.dtype)
        return values * (weights[:, None] if values.ndim == 2 else weights[:, None, None])


class FixedTrace(eqx.Module):
    """`metric`, scaled so that the mean trace over the rows is `trace`.

    The scale of a metric changes nothing in what its loss prefers, so nothing holds it in place; left alone it drifts,
    and with it the size of the predictor's gradients. Inside `per_task` each task's trace is fixed; around it, the
    mean.
    """

    metric: eqx.Module
    trace: float = eqx.field(static=True)

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        values = self.metric(x, y, task)  # pyright: ignore[reportCallIssue]
        return values * (self.trace / jnp.mean(traces(values)))


class SampleWeight(eqx.Module):
    """Weights from a function of one target, taken as constants: its result for a row, (outputs,) or a scalar."""

    weight: Callable[[Float[Array, " outputs"]], Array]

    def __call__(self, x: Array, y: Array, task: Array) -> MetricValues:
        weights = jax.lax.stop_gradient(jax.vmap(self.weight)(y))
        return jnp.broadcast_to(weights.reshape(y.shape[0], -1), y.shape)


def value_gradient(value: Callable[[Float[Array, " outputs"]], Float[Array, ""]]) -> SampleWeight:
    """diag((dV/dy)^2) at the true y: errors count as far as they change the value (VaGraM, arXiv 2204.01464).

    Its weights may be zero, so it weighs a squared error but is no metric for TaskMet to start from.
    """
    return SampleWeight(lambda y: jnp.square(jax.grad(value)(y)))
