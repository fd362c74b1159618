"""The decision problems side by side: data, predictor, metric and settings of each, and every method on them.

Predictors are linear, as in PyEPO's and LODL's comparisons, so that no method can simply be right.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from polytask import random
from polytask.losses.decision import Temperature
from polytask.losses.learner import Instances, Learner, run
from polytask.losses.lodl import lodl
from polytask.losses.metric import InputMetric
from polytask.losses.quality import DecisionProblem, Quality, decision_quality, regret_of, task_loss_of
from polytask.losses.rivals import Oracle, dfl, spo_plus, two_stage
from polytask.losses.taskmet import taskmet
from polytask.problems import knapsack, newsvendor, portfolio, shortest_path, web_advertising

METHODS = ("two-stage", "dfl", "lodl", "spo+", "taskmet")
CAPACITY = 300
"""Of the knapsack, in tenths: a third of what its 16 items weigh."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem as it is compared.

    - `data(key)`: training and test data of a seed.
    - `problem(temperature)`: the decision, where training smooths it by the temperature if it has one.
    - `outputs`: of a row; `features`: of a row.
    - `rate`: of the predictor's Adam; `steps`: minibatch steps of all methods but TaskMet.
    - `temperatures`: those at which it is learned, the usual one first; one alone where the problem has none.
    - `oracle`: the hard decision, where the objective is linear in what is predicted.
    - `samples`: perturbed truths for each instance of LODL.
    """

    data: Callable[[PRNGKeyArray], tuple[Instances, Instances]]
    problem: Callable[[Temperature], DecisionProblem]
    features: int
    outputs: int
    rate: float
    steps: int = 1000
    temperatures: tuple[float, ...] = (1.0,)
    oracle: Oracle | None = None
    samples: int = 100


class Compared(NamedTuple):
    """Quality, the learner's last problem, and its history."""

    quality: Quality
    problem: Shaped[Array, "..."]
    residual: Float[Array, "..."]


def _mix() -> PRNGKeyArray:
    """Of what stays the same for all seeds: mixing matrices and weights."""
    return random.key(0, "decision problems")


def make_case(name: str) -> Case:
    """One of CASES. Raises ImportError, naming the extra, where its data or its solver need one."""
    return CASES[name]()


def _web() -> Case:
    def data(key: PRNGKeyArray) -> tuple[Instances, Instances]:
        return _generated(web_advertising.web_advertising, key, 100)

    make = web_advertising.web_advertising_problem
    users = web_advertising.USERS
    return Case(data, make, users, users, 0.01, temperatures=(0.05, 0.005, 0.5))


def _knapsack() -> Case:
    weights = knapsack.knapsack_weights(_mix())

    def data(key: PRNGKeyArray) -> tuple[Instances, Instances]:
        return _generated(knapsack.knapsack, key, 200)

    def oracle(values: Array, aux: Any) -> Array:
        return knapsack.solve_knapsack(values[0], weights, CAPACITY)[None]

    make = lambda temperature: knapsack.knapsack_problem(weights, CAPACITY, temperature)  # noqa: E731
    return Case(data, make, 5, 16, 0.1, temperatures=(1.0, 0.1, 10.0), oracle=oracle)


def _path() -> Case:
    def data(key: PRNGKeyArray) -> tuple[Instances, Instances]:
        return _generated(shortest_path.shortest_path, key, 200)

    def oracle(values: Array, aux: Any) -> Array:
        return shortest_path.solve_shortest_path(values[0])[None]

    temperatures = (0.5, 0.05, 5.0)
    make = shortest_path.shortest_path_problem
    return Case(data, make, 5, shortest_path.edges(), 0.03, temperatures=temperatures, oracle=oracle)


def _newsvendor() -> Case:
    return Case(newsvendor.newsvendor, lambda temperature: newsvendor.newsvendor_problem(), 13, 1, 0.01, 2000)


def _portfolio() -> Case:
    def make(temperature: Temperature) -> DecisionProblem:
        return portfolio.portfolio_problem()

    data = lambda key: portfolio.portfolio(key, 200)  # noqa: E731
    return Case(data, make, portfolio.FEATURES, 1, 0.01, 200, samples=8)


CASES: dict[str, Callable[[], Case]] = {
    "web advertising": _web,
    "knapsack": _knapsack,
    "shortest path": _path,
    "newsvendor": _newsvendor,
    "portfolio": _portfolio,
}


def _generated(
    make: Callable[[PRNGKeyArray, int, PRNGKeyArray], Instances], key: PRNGKeyArray, train: int
) -> tuple[Instances, Instances]:
    first, second = jax.random.split(key)
    return make(first, train, _mix()), make(second, 500, _mix())


def learner_of(case: Case, method: str, key: PRNGKeyArray, temperature: Temperature) -> tuple[Learner, int]:
    """One of METHODS on a case, and its number of steps. TaskMet takes a tenth of the steps, each of 20 inner ones.

    Raises ValueError for an unknown method, and for SPO+ where the objective is not linear.
    """
    key_predictor, key_metric = jax.random.split(key)
    predictor = eqx.nn.Linear(case.features, case.outputs, key=key_predictor)
    problem, adam = case.problem(temperature), optax.adam(case.rate)
    if method == "two-stage":
        return two_stage(predictor, optimiser=adam), case.steps
    if method == "dfl":
        return dfl(predictor, task_loss_of(problem), optimiser=adam), case.steps
    if method == "lodl":
        return lodl(predictor, regret_of(problem), samples=case.samples, noise=0.5, optimiser=adam), case.steps
    if method == "spo+" and case.oracle is not None:
        return spo_plus(predictor, case.oracle, optimiser=adam), case.steps
    if method == "taskmet":
        metric = InputMetric(case.features, case.outputs, identity_init=True, key=key_metric)
        loss = task_loss_of(problem)
        return taskmet(predictor, metric, loss, predictor_optimiser=adam, inner_steps=20), case.steps // 10
    raise ValueError(f"method is {method!r}: it must be one of {', '.join(METHODS)}, spo+ for linear objectives only")


def compare(name: str, method: str, seeds: int, temperatures: tuple[float, ...] | None = None) -> Compared:
    """Every seed at every temperature as one program; arrays (temperatures, seeds, ...).

    Check `raise_problems(result.problem)`.
    """
    case = make_case(name)
    keys = jnp.stack([random.key(seed, "decisions") for seed in range(seeds)])
    parts = [case.data(key) for key in keys]
    data = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)

    def one(temperature: Array, key: PRNGKeyArray, data: tuple[Instances, Instances]) -> Compared:
        key_learner, key_run, key_random = jax.random.split(jax.random.fold_in(key, 1), 3)
        learner, steps = learner_of(case, method, key_learner, temperature)
        state, history = run(learner, data[0], key_run, steps)
        quality = decision_quality(case.problem(temperature), learner.predictor(state), data[1], key_random)
        return Compared(quality, state.problem, history.get("inner_residual", jnp.zeros(())))

    grid = jnp.asarray(temperatures or case.temperatures[:1], jnp.float32)
    across = jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))
    return jax.jit(across)(grid, keys, data)
