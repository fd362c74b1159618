"""SDMGrad against a plain float64 loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine.base import Inputs
from polytask.combine.sdmgrad import project_on_simplex, sdmgrad

GENTLE = sdmgrad(steps=4000, step_size=0.1)
project = jax.jit(jax.vmap(project_on_simplex))


def simplex(values):
    """The nearest point by bisection on the shift."""
    low, high = values.min() - 1, values.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(values - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(values - low, 0)


def loop(matrix, weights, regularisation=0.3, steps=20, step_size=10.0, momentum=0.5):
    norm = np.sqrt(np.maximum(np.diag(matrix), 0)).mean()
    matrix, velocity = matrix / norm**2, np.zeros_like(weights)
    for _ in range(steps):
        velocity = momentum * velocity + matrix @ (weights + regularisation / len(weights))
        weights = simplex(weights - step_size * velocity)
    return weights


def inputs(gramian, present=None, cross=None):
    tasks = len(gramian)
    present = np.ones(tasks, bool) if present is None else np.asarray(present)
    cross = None if cross is None else jnp.asarray(cross, jnp.float32)
    return Inputs(
        jnp.asarray(gramian, jnp.float32), jnp.ones(tasks), jnp.asarray(present), jax.random.key(0), 1.0, cross
    )


def test_projection_on_the_simplex():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 6)) * 10.0 ** rng.uniform(-3, 5, size=(40, 1))
    present = rng.uniform(size=(40, 6)) < 0.8
    present[:, 0] = True
    result = np.asarray(project(values.astype(np.float32), present))
    assert not result[~present].any()
    for value, mask, w in zip(values.astype(np.float32), present, result, strict=True):
        np.testing.assert_allclose(w[mask], simplex(np.float64(value[mask])), atol=2e-6)


def test_the_steps_of_the_paper():
    """Gramian, and cross-Gramian of two batches, which is not symmetric."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 4, 9)) + rng.normal(size=9)
    method = sdmgrad(step_size=0.3)
    weigh = jax.jit(lambda i, state: method.weigh(i, state))
    state = method.init(4)
    for cross in (None, first @ second.T):
        weights, after, _ = weigh(inputs(first @ first.T, cross=cross), state)
        expected = loop(first @ first.T if cross is None else cross, np.full(4, 0.25), step_size=0.3)
        np.testing.assert_allclose(after, expected, atol=1e-5)
        np.testing.assert_allclose(weights, (expected + 0.3 / 4) / 1.3, atol=1e-5)


def test_small_steps_find_the_shortest_shifted_vector():
    """min |g_w + lambda g_0|: <g_i, d> is least and equal where w_i > 0; the residual says so."""
    gradients = np.random.default_rng(2).normal(size=(5, 10))
    weights, state, info = jax.jit(GENTLE.weigh)(inputs(gradients @ gradients.T), GENTLE.init(5))
    products = gradients @ (np.float64(weights) @ gradients)
    assert info["residual"] < 1e-5
    np.testing.assert_allclose(products[np.asarray(state) > 1e-3], products.min(), rtol=1e-3)


def test_absent_tasks_keep_their_weight_for_later():
    gradients = np.random.default_rng(2).normal(size=(4, 9))
    state = jnp.asarray([0.4, 0.3, 0.2, 0.1])
    weights, after, _ = jax.jit(sdmgrad().weigh)(
        inputs(gradients @ gradients.T, present=[True, False, True, True]), state
    )
    assert weights[1] == 0
    assert after[1] == state[1]
    np.testing.assert_allclose(np.asarray(after)[[0, 2, 3]].sum(), 1, rtol=1e-6)


def test_works_in_scan():
    gradients = np.random.default_rng(2).normal(size=(3, 9))
    given, method = inputs(gradients @ gradients.T), sdmgrad()

    def step(state, _):
        weights, state, _ = method.weigh(given, state)
        return state, weights

    state, weights = jax.jit(lambda: jax.lax.scan(step, method.init(3), length=5))()
    again, weigh = method.init(3), jax.jit(method.weigh)
    for _ in range(5):
        last, again, _ = weigh(given, again)
    np.testing.assert_allclose(weights[-1], last, atol=1e-6)
    np.testing.assert_allclose(state, again, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"regularisation": -1.0}, {"step_size": 0.0}, {"momentum": 1.0}, {"steps": 0}])
def test_options_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="sdmgrad needs"):
        sdmgrad(**wrong)
