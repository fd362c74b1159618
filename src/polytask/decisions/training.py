"""Training for decisions as pure functions, of one seed; `vmap` makes several seeds one program."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask import random
from polytask.decisions.case import Case, learner_of, make_modules, steps_of_update
from polytask.decisions.config import DecisionConfig
from polytask.losses.learner import Instances, State, check_instances, flatten_rows, predict
from polytask.losses.quality import Bounds, Quality, decision_bounds, quality_between
from polytask.losses.taskmet import learned_metric


class Inputs(NamedTuple):
    """What a seed draws before it learns: its data, what decisions on the test data can be worth, and its keys."""

    train: Instances
    test: Instances
    bounds: Bounds
    key_learner: PRNGKeyArray
    key_run: PRNGKeyArray


class Outcome(NamedTuple):
    """What is known after some updates.

    - `metrics`: means over these updates of what the learner logs; `sound`: how many of them did not fail.
    - `quality`: on the test data; `squared_error`: there, by task.
    - `metric`: the learned one's diagonal on the test data, its mean over the rows of each task; None without one.
    - `by_truth`: of one that depends on the input, how it moves with the truth (`metric_by_truth`).
    - `norm`: of the predictor's parameters.
    """

    metrics: dict[str, Float[Array, ""]]
    sound: Int[Array, ""]
    quality: Quality
    squared_error: Float[Array, " tasks"]
    metric: Float[Array, "tasks outputs"] | None
    by_truth: Float[Array, "tasks tenths"] | None
    norm: Float[Array, ""]


class Keys(NamedTuple):
    """What a seed draws from, as `problems.decisions.compare` does."""

    data: PRNGKeyArray
    learner: PRNGKeyArray
    run: PRNGKeyArray
    random: PRNGKeyArray


def keys_of(seed: int) -> Keys:
    """The keys of a seed."""
    key = random.key(seed, "decisions")
    return Keys(key, *jax.random.split(jax.random.fold_in(key, 1), 3))


def make_inputs(case: Case, config: DecisionConfig, seed: int) -> Inputs:
    """What `seed` draws. Raises what the case's data and solver raise, and ValueError for data that do not fit."""
    keys = keys_of(seed)
    train, test = case.data(keys.data)
    for data in (train, test):
        check_instances(data)
    return Inputs(train, test, _bounds(case, config.temperature, test, keys.random), keys.learner, keys.run)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _bounds(case: Case, temperature: float, data: Instances, key: PRNGKeyArray) -> Bounds:
    return decision_bounds(case.problem(temperature), data, key)


def begin(case: Case, config: DecisionConfig, inputs: Inputs) -> State:
    """The first state."""
    return learner_of(case, config, inputs.key_learner).init(inputs.train, jax.random.split(inputs.key_run)[0])


def advance(
    case: Case, config: DecisionConfig, state: State, inputs: Inputs, done: Int[Array, ""]
) -> tuple[State, Outcome]:
    """The updates of `config.eval_every` steps, after `done` updates, and what is then known on the test data."""
    learner = learner_of(case, config, inputs.key_learner)
    key_steps = jax.random.split(inputs.key_run)[1]

    def update(state: State, number: Array) -> tuple[State, dict[str, Array]]:
        return learner.step(state, inputs.train, jax.random.fold_in(key_steps, number))

    count = config.eval_every // steps_of_update(case, config)
    state, metrics = jax.lax.scan(update, state, done + jnp.arange(count))
    failures = metrics.pop("failure")
    predictor, test, tasks = learner.predictor(state), inputs.test, max(1, len(case.tasks))
    errors = jnp.square(predict(predictor, test.x) - test.y)
    _, start = make_modules(case, config, inputs.key_learner)
    weights = None if start is None else diagonal(learned_metric(state, start), test)
    found = Outcome(
        metrics={name: jnp.mean(values.astype(jnp.float32)) for name, values in metrics.items()},
        sound=jnp.sum(failures == 0),
        quality=quality_between(inputs.bounds, case.problem(config.temperature), predictor, test),
        squared_error=_by_task(errors.reshape(-1, errors.shape[-1]), test, tasks).mean(-1),
        metric=None if weights is None else _by_task(weights, test, tasks),
        by_truth=None if weights is None or config.metric != "input" else metric_by_truth(weights, test, tasks),
        norm=jnp.asarray(optax.tree.norm(state.parameters)),
    )
    return state, found


def diagonal(metric: Any, data: Instances) -> Float[Array, "rows outputs"]:
    """The diagonal of a metric for every row of every instance."""
    values = metric(*flatten_rows(data))
    return values if values.ndim == 2 else jnp.diagonal(values, axis1=-2, axis2=-1)


def metric_by_truth(weights: Float[Array, "rows outputs"], data: Instances, tasks: int) -> Float[Array, "tasks tenths"]:
    """A metric's weights by tenths of the true values, the smallest first, relative to the output's mean.

    Tenths are those of each output over all rows; means are over outputs, and over the rows of a task.
    """
    _, y, task = flatten_rows(data)
    tenth = jnp.argsort(jnp.argsort(y, axis=0), axis=0) * 10 // len(y)
    cell = (10 * task[:, None] + tenth).reshape(-1)
    total = jax.ops.segment_sum((weights / weights.mean(0, keepdims=True)).reshape(-1), cell, 10 * tasks)
    count = jnp.bincount(cell, length=10 * tasks)
    return (total / jnp.maximum(count, 1).astype(weights.dtype)).reshape(tasks, 10)


def _by_task(values: Float[Array, "rows outputs"], data: Instances, tasks: int) -> Float[Array, "tasks outputs"]:
    """The mean over the rows of each task; 0 for a task without rows."""
    _, _, task = flatten_rows(data)
    total = jax.ops.segment_sum(values, task, tasks)
    return total / jnp.maximum(jnp.bincount(task, length=tasks), 1).astype(values.dtype)[:, None]
