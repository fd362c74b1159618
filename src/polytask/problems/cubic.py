"""Cubic: the top item of fifty, predicted by a line that cannot fit (LODL, arXiv 2203.16067; TaskMet).

x ~ U[-1, 1], y = 10 x^3 - 6.5 x, 50 items an instance, pick one. The best line in squared error falls and so picks the
worst item; a rising line picks the best one.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from polytask.losses.decision import Temperature, hard_top_k, soft_top_k
from polytask.losses.implicit import Solver
from polytask.losses.learner import Info, Instances, Learner, State, run
from polytask.losses.lodl import lodl
from polytask.losses.metric import InputMetric
from polytask.losses.quality import DecisionProblem, Quality, decision_quality, regret_of, task_loss_of
from polytask.losses.rivals import dfl, spo_plus, two_stage
from polytask.losses.taskmet import taskmet

ITEMS = 50
TRAIN = 200
"""LODL generates 400 training instances and keeps half for validation."""
TEST = 400
METHODS = ("mse", "dfl", "dfl+mse", "lodl", "spo+", "taskmet")


def cubic(key: PRNGKeyArray, instances: int, items: int = ITEMS) -> Instances:
    """Instances of `items` rows with one feature and one output each."""
    x = jax.random.uniform(key, (instances, items, 1), minval=-1.0, maxval=1.0)
    return Instances(x, 10 * x**3 - 6.5 * x)


def cubic_problem(k: int = 1, epsilon: Temperature = 0.01) -> DecisionProblem:
    """Pick `k` items; what they are worth is the sum of their y."""

    def random(key: PRNGKeyArray, y: Array, aux: Any) -> Array:
        return hard_top_k(jax.random.uniform(key, y.shape[:1]), k)

    return DecisionProblem(
        objective=lambda z, y, aux: jnp.sum(z * y[:, 0]),
        soft=lambda prediction, aux: soft_top_k(prediction[:, 0], k, epsilon),
        hard=lambda prediction, aux: hard_top_k(prediction[:, 0], k),
        random=random,
    )


def cubic_learner(
    method: str, key: PRNGKeyArray, solver: Solver | None = None, *, rate: float = 0.1, epsilon: Temperature = 0.01
) -> Learner:
    """One of METHODS with the published settings: a linear predictor, Adam 0.1, ten instances a minibatch.

    LODL's surrogate is the directed one, on 200 samples an instance; LODL takes up to 50 000.
    """
    key_predictor, key_metric = jax.random.split(key)
    predictor, problem = eqx.nn.Linear(1, 1, key=key_predictor), cubic_problem(epsilon=epsilon)
    loss, adam = task_loss_of(problem), optax.adam(rate)
    if method == "mse":
        return two_stage(predictor, optimiser=adam)
    if method in ("dfl", "dfl+mse"):
        return dfl(predictor, loss, error_weight=float(method == "dfl+mse"), optimiser=adam)
    if method == "lodl":
        return lodl(predictor, regret_of(problem), surrogate="directed", optimiser=adam)
    if method == "spo+":
        return spo_plus(predictor, lambda values, aux: problem.hard(values, aux)[:, None], optimiser=adam)
    if method == "taskmet":
        metric = InputMetric(1, 1, key=key_metric)
        return taskmet(predictor, metric, loss, predictor_optimiser=adam, solver=solver)
    raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")


def run_cubic(
    method: str,
    key: PRNGKeyArray,
    steps: int = 1000,
    solver: Solver | None = None,
    *,
    rate: float = 0.1,
    epsilon: Temperature = 0.01,
) -> tuple[Quality, State, Info]:
    """One seed of one method: quality on the test set, last state and history. For `jit`, and `vmap` over keys.

    - `rate`: of the predictor's Adam; `epsilon`: the temperature of the decision it learns from. The published values
      stand as the defaults.

    Check `raise_failures(state.failure)` afterwards.
    """
    key_train, key_test, key_learner, key_run, key_random = jax.random.split(key, 5)
    learner = cubic_learner(method, key_learner, solver, rate=rate, epsilon=epsilon)
    state, history = run(learner, cubic(key_train, TRAIN), key_run, steps)
    quality = decision_quality(cubic_problem(), learner.predictor(state), cubic(key_test, TEST), key_random)
    return quality, state, history
