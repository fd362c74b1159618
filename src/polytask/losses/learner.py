"""What a way of training a predictor is, and how to run it: the same for TaskMet and all its rivals.

A `Learner` is three pure functions, fit for `jit` and `vmap`. `run` scans it; `fit` runs one seed and raises what went
wrong. Nothing non-finite is ever learned: a step that would is not taken, and says why in `state.failure`.
"""

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from polytask.losses.optimiser import optimiser_step


class Instances(NamedTuple):
    """Data for decisions. An instance is what one decision is made from: one or more rows, each one prediction.

    - `x`: (instances, rows, features).
    - `y`: (instances, rows, outputs): the truth of what is predicted.
    - `aux`: a pytree of arrays with a leading instance axis: what else the decision needs (weights, covariances).
    - `task`: (instances, rows), the index of each row's task; absent for one task.
    """

    x: Float[Array, "instances rows features"]
    y: Float[Array, "instances rows outputs"]
    aux: Any = None
    task: Int[Array, "instances rows"] | None = None


TaskLoss = Callable[[Array, Array, Any], Float[Array, ""]]
"""The cost of the decision made from one instance's prediction: (prediction, y, aux), with y and prediction
(rows, outputs). Lower is better."""


PATIENCE = 10
"""Steps in which a task loss that has never shown a gradient is waited for."""


class Failure(enum.IntEnum):
    """Why a learner stopped learning."""

    NONE = 0
    NO_TASK_GRADIENT = 1
    TASK_NOT_FINITE = 2
    INNER_DIVERGED = 3
    METRIC_NOT_POSITIVE = 4
    LOSS_NOT_FINITE = 5


REMEDY = {
    Failure.NO_TASK_GRADIENT: "the task loss has had no gradient: it is exactly zero for every prediction seen, so the "
    "decision layer is hard (an argmax, a vertex of a polytope) or does not use the prediction. Train with a soft one: "
    "soft_top_k for a choice of items, soft_budget or soft_knapsack for a budget, quadratic_program for a portfolio; "
    "spo_plus and lodl learn from hard decisions",
    Failure.TASK_NOT_FINITE: "the task loss or its gradient is not finite. Look at the decision layer: a higher "
    "temperature (epsilon) keeps soft decisions away from overflow, and data must be free of NaN",
    Failure.INNER_DIVERGED: "the inner loop diverges: the predictor's loss under the metric is not finite, or a "
    "thousand times what it was at first. Lower the predictor optimiser's learning rate, clip its gradients "
    "(optax.clip_by_global_norm(1.0)), or hold the metric's scale with FixedTrace(metric, trace)",
    Failure.METRIC_NOT_POSITIVE: "the metric is not positive definite, so the predictor's loss has no minimum. Build "
    "it as L L^T + e^c I, as LearnedFull and InputMetric do, take exp of a diagonal's weights, or, where a learned "
    "metric has shrunk to zero, hold its scale with FixedTrace(metric, trace)",
    Failure.LOSS_NOT_FINITE: "the loss or its gradient is not finite. Lower the learning rate, clip the gradients "
    "(optax.clip_by_global_norm(1.0)), and look for NaN in the data",
}


class LearnerError(RuntimeError):
    """A learner stopped: what went wrong, in which seed, and what to do about it."""


class State(NamedTuple):
    """What every learner carries: the predictor's parameters, the learner's own things, and what stopped it (or 0)."""

    parameters: PyTree
    own: Any
    failure: Int[Array, ""]


Info = dict[str, Array]


class Learner(NamedTuple):
    """A way to train a predictor.

    - `init(data, key)`: the first state.
    - `step(state, data, key)`: the next state, and what there is to tell: always "loss" (of the predictions) and
      "failure".
    - `predictor(state)`: the trained module. Raises LearnerError if the state, outside of jit, holds a failure.
    """

    init: Callable[[Instances, PRNGKeyArray], State]
    step: Callable[[State, Instances, PRNGKeyArray], tuple[State, Info]]
    predictor: Callable[[State], Any]


class Fitted(NamedTuple):
    """A trained predictor, the whole last state, and `history`: what each step logged, along the first axis."""

    predictor: Any
    state: State
    history: Info


def check_instances(data: Instances) -> None:
    """Raises ValueError where the data's shapes do not fit together, or a number is not finite."""
    for name, rank in (("x", 3), ("y", 3), ("task", 2)):
        value = getattr(data, name)
        if value is None:
            continue
        if jnp.ndim(value) != rank or value.shape[:2] != data.y.shape[:2]:
            raise ValueError(
                f"{name} has shape {jnp.shape(value)}: it must be (instances, rows{', ...' if rank == 3 else ''}), "
                f"with the instances and rows of y, {jnp.shape(data.y)}. For one row an instance, give x[:, None]"
            )
        if not isinstance(value, Tracer) and not np.isfinite(np.asarray(value)).all():
            raise ValueError(f"{name} holds NaN or infinity: drop or fill these instances first")
    for leaf in jax.tree.leaves(data.aux):
        if leaf.shape[:1] != data.y.shape[:1]:
            raise ValueError(f"aux has a leaf of shape {leaf.shape}; its first axis must be {len(data.y)} instances")


def predict(predictor: Callable[[Array], Array], x: Float[Array, "instances rows features"]) -> Array:
    """The predictor on every row: (instances, rows, outputs)."""
    return jax.vmap(jax.vmap(predictor))(x)


def flatten_rows(data: Instances) -> tuple[Array, Array, Array]:
    """x, y and task with all rows of all instances along one axis."""
    x, y = data.x.reshape(-1, data.x.shape[-1]), data.y.reshape(-1, data.y.shape[-1])
    task = jnp.zeros(y.shape[0], jnp.int32) if data.task is None else data.task.reshape(-1)
    return x, y, task


def draw(instances: int, batch: int | None, key: PRNGKeyArray) -> Int[Array, " batch"]:
    """Indices of a minibatch, drawn with replacement; of all instances where `batch` is None or not smaller."""
    if batch is None or batch >= instances:
        return jnp.arange(instances)
    return jax.random.randint(key, (batch,), 0, instances)


def take(data: Any, index: Int[Array, " batch"]) -> Any:
    """Rows `index` of every array."""
    return jax.tree.map(lambda leaf: leaf[index], data)


def mean_task_loss(task_loss: TaskLoss, prediction: Array, data: Instances) -> Float[Array, ""]:
    """The mean of the task loss over instances."""
    return jnp.mean(jax.vmap(task_loss)(prediction, data.y, data.aux))


def finite(*trees: PyTree) -> Array:
    """Whether every number in every tree is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(trees)]))


def guarded(state: State, parameters: PyTree, own: Any, failure: Array) -> State:
    """The next state if nothing failed; else the old one, with the first failure it met."""
    first = jnp.where(state.failure == 0, failure, state.failure)
    new = (parameters, own)
    kept_parameters, kept_own = jax.tree.map(
        lambda a, b: jnp.where(first == 0, a, b), new, (state.parameters, state.own)
    )
    return State(kept_parameters, kept_own, first)


def raise_failures(failure: Array) -> None:
    """Raises LearnerError if a `failure` (of one run, or of many seeds) is not 0."""
    found = np.asarray(failure)
    where = np.flatnonzero(found.reshape(-1))
    if len(where):
        first = Failure(int(found.reshape(-1)[where[0]]))
        seeds = f" (runs {where.tolist()} of {found.size})" if found.size > 1 else ""
        raise LearnerError(f"{REMEDY[first]}{seeds}")


def predictor_of(state: State, static: PyTree) -> Any:
    """The predictor in a state; raises LearnerError if the state is concrete and holds a failure."""
    if not isinstance(state.failure, Tracer):
        raise_failures(state.failure)
    return eqx.combine(state.parameters, static)


class GradientOwn(NamedTuple):
    """What a learner by gradient carries: optimiser, what was prepared, and what the alarm for a flat task needs."""

    optimiser: Any
    prepared: Any
    steps: Int[Array, ""]
    gradient_seen: Bool[Array, ""]


def gradient_learner(
    predictor: eqx.Module,
    loss: Callable[[Array, Instances, Any], Float[Array, ""]],
    optimiser: optax.GradientTransformation,
    batch: int | None,
    prepare: Callable[[Instances, PRNGKeyArray], Any] = lambda data, key: None,
    *,
    task: Callable[[Array, Instances], Float[Array, ""]] | None = None,
    check: Callable[[Instances], Int[Array, ""]] | None = None,
) -> Learner:
    """A learner that descends `loss(prediction, batch, prepared)`; `prepare` makes something for each instance.

    - `task(prediction, batch)`: is added to the loss, and fails where its first steps show no gradient.
    - `check(batch)`: a failure of the batch, or 0.
    """
    start, static = eqx.partition(predictor, eqx.is_inexact_array)

    def init(data: Instances, key: PRNGKeyArray) -> State:
        check_instances(data)
        own = GradientOwn(optimiser.init(start), prepare(data, key), jnp.int32(0), jnp.bool_(False))
        return State(start, own, jnp.int32(0))

    def step(state: State, data: Instances, key: PRNGKeyArray) -> tuple[State, Info]:
        own: GradientOwn = state.own
        index = draw(len(data.y), batch, key)
        chosen = take(data, index)

        def predicted(parameters: PyTree) -> Array:
            return predict(eqx.combine(parameters, static), chosen.x)

        def objective(parameters: PyTree, moved: Array) -> Array:
            prediction = predicted(parameters)
            value = loss(prediction, chosen, take(own.prepared, index))
            return value if task is None else value + task(prediction + moved, chosen)

        # The gradient in `moved`, which is zero, is that of the task alone.
        like = jax.eval_shape(predicted, state.parameters)
        unmoved = jnp.zeros(like.shape, like.dtype)
        value, (gradient, in_task) = jax.value_and_grad(objective, (0, 1))(state.parameters, unmoved)
        parameters, optimiser_state = optimiser_step(optimiser, state.parameters, gradient, own.optimiser)
        steps, seen = own.steps + 1, own.gradient_seen | jnp.any(in_task != 0) | jnp.bool_(task is None)
        failure = jnp.where(finite(value, gradient, parameters), 0, Failure.LOSS_NOT_FINITE)
        failure = jnp.where((failure == 0) & ~seen & (steps >= PATIENCE), Failure.NO_TASK_GRADIENT, failure)
        if check is not None:
            found = check(chosen)
            failure = jnp.where(found == 0, failure, found)
        after = GradientOwn(optimiser_state, own.prepared, steps, seen)
        new = guarded(state, parameters, after, failure.astype(jnp.int32))
        return new, {"loss": value, "gradient": optax.tree.norm(gradient), "failure": new.failure}

    return Learner(init, step, lambda state: predictor_of(state, static))


def run(learner: Learner, data: Instances, key: PRNGKeyArray, steps: int) -> tuple[State, Info]:
    """`steps` steps as one scan; the last state and the history. For `jit` and for `vmap` over keys, data or learners.

    After a vmapped run, `raise_failures(state.failure)` says which seeds failed and why.
    """
    key_init, key_steps = jax.random.split(key)

    def body(state: State, number: Array) -> tuple[State, Info]:
        return learner.step(state, data, jax.random.fold_in(key_steps, number))

    return jax.lax.scan(body, learner.init(data, key_init), jnp.arange(steps))


def fit(learner: Learner, data: Instances, key: PRNGKeyArray, steps: int) -> Fitted:
    """Trains for `steps` steps.

    Raises ValueError if the data do not fit together, LearnerError (naming the remedy) if a loss or a metric failed.
    """
    check_instances(data)
    state, history = jax.jit(lambda given, k: run(learner, given, k, steps))(data, key)
    return Fitted(learner.predictor(state), state, history)
