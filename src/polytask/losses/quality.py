"""A decision problem, and how good the decisions from a predictor are: decision quality beside prediction error."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.losses.learner import Instances, TaskLoss, predict


class DecisionProblem(NamedTuple):
    """What follows a prediction. Each function is for one instance.

    - `objective(z, y, aux)`: what decision z is worth under the truth y (rows, outputs); higher is better.
    - `soft(prediction, aux)`: a decision that differentiates.
    - `hard(prediction, aux)`: the decision that would be taken.
    - `random(key, y, aux)`: a decision without information, the zero of decision quality.
    """

    objective: Callable[[Array, Array, Any], Float[Array, ""]]
    soft: Callable[[Array, Any], Array]
    hard: Callable[[Array, Any], Array]
    random: Callable[[PRNGKeyArray, Array, Any], Array]


class Quality(NamedTuple):
    """How good a predictor's decisions are.

    - `decision`: (objective - random) / (oracle - random), each a mean over the data: 1 is as good as knowing the
      truth, 0 as good as chance.
    - `squared_error`: the mean squared error of the predictions; `objective`, `oracle`, `random`: the means.
    """

    decision: Float[Array, ""]
    squared_error: Float[Array, ""]
    objective: Float[Array, ""]
    oracle: Float[Array, ""]
    random: Float[Array, ""]


def task_loss_of(problem: DecisionProblem) -> TaskLoss:
    """-objective(soft(prediction), y): decide with what was predicted, pay by what is true."""
    return lambda prediction, y, aux: -problem.objective(problem.soft(prediction, aux), y, aux)


def regret_of(problem: DecisionProblem) -> TaskLoss:
    """objective(hard(y), y) - objective(hard(prediction), y): zero for the truth, and without gradient."""

    def regret(prediction: Array, y: Array, aux: Any) -> Array:
        best = problem.objective(problem.hard(y, aux), y, aux)
        return best - problem.objective(problem.hard(prediction, aux), y, aux)

    return regret


class Bounds(NamedTuple):
    """What decisions are worth: those of who knows the truth, and those without information."""

    oracle: Float[Array, "*instances"]
    random: Float[Array, "*instances"]


def instance_bounds(problem: DecisionProblem, data: Instances, key: PRNGKeyArray) -> Bounds:
    """`decision_bounds` of every instance: two arrays (instances,)."""

    def one(y: Array, aux: Any, key: PRNGKeyArray) -> Bounds:
        chance = jax.vmap(lambda k: problem.objective(problem.random(k, y, aux), y, aux))(jax.random.split(key, 10))
        return Bounds(problem.objective(problem.hard(y, aux), y, aux), jnp.mean(chance))

    return jax.vmap(one)(data.y, data.aux, jax.random.split(key, len(data.y)))


def decision_bounds(problem: DecisionProblem, data: Instances, key: PRNGKeyArray) -> Bounds:
    """The one and the zero of decision quality on `data`; ten random decisions an instance are the zero."""
    return jax.tree.map(jnp.mean, instance_bounds(problem, data, key))


def instance_objectives(
    problem: DecisionProblem, prediction: Float[Array, "instances rows outputs"], data: Instances
) -> Float[Array, " instances"]:
    """What the hard decision from each instance's prediction is worth."""

    def one(prediction: Array, y: Array, aux: Any) -> Array:
        return problem.objective(problem.hard(prediction, aux), y, aux)

    return jax.vmap(one)(prediction, data.y, data.aux)


def quality_between(
    bounds: Bounds, problem: DecisionProblem, predictor: eqx.Module | Callable[[Array], Array], data: Instances
) -> Quality:
    """The quality of the hard decisions from `predictor` on `data`, whose `decision_bounds` are known."""
    prediction = predict(predictor, data.x)  # pyright: ignore[reportArgumentType]
    objective = jnp.mean(instance_objectives(problem, prediction, data))
    decision = (objective - bounds.random) / (bounds.oracle - bounds.random)
    return Quality(decision, jnp.mean(jnp.square(prediction - data.y)), objective, bounds.oracle, bounds.random)


def decision_quality(
    problem: DecisionProblem, predictor: eqx.Module | Callable[[Array], Array], data: Instances, key: PRNGKeyArray
) -> Quality:
    """The quality of the hard decisions from `predictor` on `data`; ten random decisions an instance are the zero."""
    return quality_between(decision_bounds(problem, data, key), problem, predictor, data)
