"""The decision problems: hard decisions are optimal, soft ones feasible, and quality is one for the truth."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.losses import Instances, decision_quality, raise_failures, regret_of, task_loss_of
from polytask.losses.quality import DecisionProblem
from polytask.problems import cubic, knapsack, newsvendor, portfolio, shortest_path, web_advertising

KEY, MIX = jax.random.key(0), jax.random.key(9)


def make(name: str) -> tuple[Instances, DecisionProblem]:
    """A few instances of a problem."""
    if name == "cubic":
        return cubic.cubic(KEY, 20), cubic.cubic_problem()
    if name == "web":
        return web_advertising.web_advertising(KEY, 20, MIX), web_advertising.web_advertising_problem()
    if name == "knapsack":
        weights = knapsack.knapsack_weights(MIX, 8)
        return knapsack.knapsack(KEY, 20, MIX, items=8), knapsack.knapsack_problem(weights, 150)
    pytest.importorskip("sklearn" if name == "newsvendor" else "skfolio")
    if name == "newsvendor":
        return newsvendor.newsvendor(KEY)[1], newsvendor.newsvendor_problem()
    pytest.importorskip("qpax")
    return portfolio.portfolio(KEY, 20)[0], portfolio.portfolio_problem()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cubic", "web", "knapsack", "newsvendor", "portfolio"])
def test_the_truth_has_quality_one_a_constant_less_and_training_has_a_gradient(name):
    data, problem = make(name)
    aligned = data._replace(x=data.y)

    @jax.jit
    def measure():
        best = decision_quality(problem, lambda x: x, aligned, KEY)
        worst = decision_quality(problem, lambda x: -x, aligned, KEY)
        guess = 0.9 * data.y + 0.1
        slope = jax.vmap(jax.grad(task_loss_of(problem)))(guess, data.y, data.aux)
        return best, worst, slope, jax.vmap(regret_of(problem))(guess, data.y, data.aux)

    best, worst, slope, regret = measure()
    np.testing.assert_allclose(best.decision, 1, rtol=1e-5)
    assert best.squared_error == 0
    assert worst.decision < 0.7
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 0
    assert (regret >= -1e-3).all()


def test_cubic_is_what_the_papers_define():
    data = cubic.cubic(KEY, 400)
    assert data.x.shape == data.y.shape == (400, 50, 1)
    np.testing.assert_allclose(data.y, 10 * data.x**3 - 6.5 * data.x, atol=1e-5)
    slope = np.polyfit(np.ravel(data.x), np.ravel(data.y), 1)[0]
    np.testing.assert_allclose(slope, -0.5, atol=0.1)  # 10 * 3/5 - 6.5: the best line falls


@pytest.mark.slow
def test_cubic_three_seeds_mse_is_worst_and_taskmet_best():
    keys = jax.random.split(KEY, 3)
    for method, low, high in (("mse", -1.05, -0.93), ("taskmet", 0.93, 1.0)):
        quality, state, history = jax.jit(jax.vmap(lambda k, m=method: cubic.run_cubic(m, k, 400)))(keys)
        raise_failures(state.failure)
        assert (quality.decision > low).all()
        assert (quality.decision < high).all()
    assert (history["task_loss"][:, -20:].mean() < -2).all()
    with pytest.raises(ValueError, match="must be one of mse"):
        cubic.cubic_learner("sgd", KEY)


def test_the_knapsack_is_solved_exactly():
    weights = np.asarray(knapsack.knapsack_weights(MIX, 8))
    values = np.asarray(knapsack.knapsack(KEY, 5, MIX, items=8).y[:, 0])
    choices = np.array(list(itertools.product([0, 1], repeat=8)))
    for capacity in (80, 150, 1000):
        found = jax.jit(jax.vmap(lambda v, c=capacity: knapsack.solve_knapsack(v, jnp.asarray(weights), c)))(values)
        found = np.asarray(found)
        assert (found @ weights <= capacity).all()
        allowed = choices[choices @ weights <= capacity]
        np.testing.assert_allclose((found * values).sum(1), (allowed @ values.T).max(axis=0), rtol=1e-6)


def test_a_knapsack_without_room_is_refused():
    with pytest.raises(ValueError, match="lightest item"):
        knapsack.knapsack_problem(jnp.array([30, 40]), 20)


def test_web_advertising_picks_the_pair_that_reaches_most():
    data, problem = make("web")
    y = np.asarray(data.y)
    reached = [np.sum(1 - (1 - y[:, i]) * (1 - y[:, j]), axis=1) for i, j in itertools.combinations(range(5), 2)]
    made = jax.jit(jax.vmap(lambda p: problem.objective(problem.hard(p, None), p, None)))(data.y)
    np.testing.assert_allclose(made, np.max(reached, axis=0), rtol=1e-5)
    soft = jax.jit(jax.vmap(lambda p: problem.soft(p, None)))(data.y)
    assert (soft.sum(axis=1) < 2.001).all()


def test_portfolio_features_know_no_future():
    pytest.importorskip("skfolio")
    returns = np.random.default_rng(0).normal(size=(100, 4))
    before = portfolio._instances(returns, np.array([80]))
    returns[80:] = 7
    after = portfolio._instances(returns, np.array([80]))
    np.testing.assert_array_equal(before.x, after.x)
    np.testing.assert_array_equal(before.aux, after.aux)
    assert (after.y == 7).all()


def test_the_shortest_path_is_the_best_of_all_paths_and_the_soft_one_draws_from_them():
    grid, temperature = 3, 0.7
    paths = []
    for east in itertools.combinations(range(4), 2):
        i = j = 0
        taken = np.zeros(shortest_path.edges(grid), np.float32)
        for step in range(4):
            if step in east:
                taken[i * (grid - 1) + j] = 1
                j += 1
            else:
                taken[grid * (grid - 1) + i * grid + j] = 1
                i += 1
        paths.append(taken)
    paths = np.stack(paths)
    data = shortest_path.shortest_path(KEY, 5, MIX, grid=grid)
    assert (data.y < 0).all(), "costs are counted as their negatives"
    problem = shortest_path.shortest_path_problem(temperature, grid)
    hard, soft = jax.jit(jax.vmap(lambda y: (problem.hard(y, None), problem.soft(y, None))))(data.y)
    worth = data.y[:, 0] @ paths.T
    np.testing.assert_array_equal(hard, paths[np.argmax(worth, axis=1)])
    np.testing.assert_allclose(soft, jax.nn.softmax(worth / temperature) @ paths, atol=1e-5)
