"""The decision problems side by side: data and settings of each, and every method on them.

Predictors are linear, as in PyEPO's and LODL's comparisons, so that no method can simply be right.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from polytask import random
from polytask.decisions.case import Case, learner_of, resolved, steps_of_update
from polytask.decisions.config import DecisionConfig, Loss
from polytask.losses.decision import Temperature, hard_top_k
from polytask.losses.learner import Instances, run
from polytask.losses.quality import DecisionProblem, Quality, decision_quality
from polytask.problems import cubic, knapsack, newsvendor, portfolio, shortest_path, web_advertising

CAPACITY = 300
"""Of the knapsack, in tenths: a third of what its 16 items weigh."""


class Compared(NamedTuple):
    """Quality, why the learner failed (or 0), and its residual."""

    quality: Quality
    failure: Shaped[Array, "..."]
    residual: Float[Array, "..."]


def _mix() -> PRNGKeyArray:
    """Of what stays the same for all seeds: mixing matrices and weights."""
    return random.key(0, "decision problems")


def make_case(name: str) -> Case:
    """One of CASES. Its data and its solver raise ImportError, naming the extra, where they need one."""
    return CASES[name]()


def _cubic() -> Case:
    def data(key: PRNGKeyArray) -> tuple[Instances, Instances]:
        key_train, key_test = jax.random.split(key)
        return cubic.cubic(key_train, cubic.TRAIN), cubic.cubic(key_test, cubic.TEST)

    def make(temperature: Temperature) -> DecisionProblem:
        return cubic.cubic_problem(epsilon=temperature)

    def oracle(values: Array, aux: Any) -> Array:
        return hard_top_k(values[:, 0], 1)[:, None]

    return Case(
        data,
        make,
        1,
        1,
        0.1,
        temperatures=(0.01,),
        oracle=oracle,
        samples=200,
        inner_steps=100,
        outer_every=1,
        identity_init=False,
    )


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
    return Case(
        newsvendor.newsvendor,
        lambda temperature: newsvendor.newsvendor_problem(),
        13,
        1,
        0.01,
        2000,
        tasks=tuple(f"shop {share:g}" for share in newsvendor.SHORTAGE),
        output_names=("demand",),
    )


def _portfolio() -> Case:
    def make(temperature: Temperature) -> DecisionProblem:
        return portfolio.portfolio_problem()

    data = lambda key: portfolio.portfolio(key, 200)  # noqa: E731
    return Case(data, make, portfolio.FEATURES, 1, 0.01, 200, samples=8)


CASES: dict[str, Callable[[], Case]] = {
    "cubic": _cubic,
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


def compare(name: str, method: str, seeds: int, temperatures: tuple[float, ...] | None = None) -> Compared:
    """Every seed at every temperature as one program; arrays (temperatures, seeds, ...).

    Check `raise_failures(result.failure)`.
    """
    case = make_case(name)
    keys = jnp.stack([random.key(seed, "decisions") for seed in range(seeds)])
    parts = [case.data(key) for key in keys]
    data = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)

    config = resolved(case, DecisionConfig(problem=name, loss=cast(Loss, method)))
    updates = config.steps // steps_of_update(case, config)

    def one(temperature: Array, key: PRNGKeyArray, data: tuple[Instances, Instances]) -> Compared:
        key_learner, key_run, key_random = jax.random.split(jax.random.fold_in(key, 1), 3)
        learner = learner_of(case, config, key_learner, temperature)
        state, history = run(learner, data[0], key_run, updates)
        quality = decision_quality(case.problem(temperature), learner.predictor(state), data[1], key_random)
        return Compared(quality, state.failure, history.get("inner_residual", jnp.zeros(())))

    grid = jnp.asarray(temperatures or case.temperatures[:1], jnp.float32)
    across = jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))
    return jax.jit(across)(grid, keys, data)
