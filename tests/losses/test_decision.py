"""Soft decisions obey their constraints, approach the hard ones, and have the derivatives that they claim."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.losses import (
    hard_top_k,
    project_simplex,
    quadratic_program,
    soft_budget,
    soft_knapsack,
    soft_simplex,
    soft_top_k,
)
from tests.dtypes import cast

SCORES = jax.random.normal(jax.random.key(0), (5, 12))


def sinkhorn_top_k(scores: np.ndarray, k: int, epsilon: float, iterations: int) -> np.ndarray:
    """The definition, in float64: log-domain Sinkhorn on two anchors, from zero."""
    n = len(scores)
    cost = np.stack([scores**2, (scores + 1) ** 2], axis=1).astype(np.float64)
    cost /= cost.max()
    log_mu, log_nu = np.full((n, 1), -np.log(n)), np.log([[k / n, 1 - k / n]])
    f, g = np.zeros((n, 1)), np.zeros((1, 2))

    def soft_minimum(z, axis):
        low = z.min(axis=axis, keepdims=True)
        return low - epsilon * np.log(np.exp((low - z) / epsilon).sum(axis=axis, keepdims=True))

    for _ in range(iterations):
        f = soft_minimum(cost - g, 1) + epsilon * log_mu
        g = soft_minimum(cost - f, 0) + epsilon * log_nu
    return n * np.exp((f + g - cost) / epsilon)[:, 0]


@pytest.mark.parametrize(("k", "epsilon"), [(1, 0.01), (3, 0.01), (3, 0.2)])
def test_soft_top_k_is_the_entropic_transport_that_sinkhorn_finds(k, epsilon):
    found = jax.jit(jax.vmap(lambda s: soft_top_k(s, k, epsilon)))(SCORES)
    wanted = np.stack([sinkhorn_top_k(np.asarray(s), k, epsilon, 5000) for s in SCORES])
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), k, rtol=1e-4)


def check_derivative(function, point, size=1e-2, tolerance=2e-2):
    """Central differences of a random linear functional of `function`, at each row of `point`."""
    probe = jax.random.normal(jax.random.key(5), jax.eval_shape(function, point[0]).shape)

    def scalar(p):
        return jnp.sum(probe * function(p))

    steps = size * jnp.eye(point.shape[1])[None]
    both = jax.jit(jax.vmap(jax.vmap(scalar)))
    numeric = (both(point[:, None] + steps) - both(point[:, None] - steps)) / (2 * size)
    exact = jax.jit(jax.vmap(jax.grad(scalar)))(point)
    assert np.linalg.norm(exact - numeric) < tolerance * np.linalg.norm(numeric)


@pytest.mark.slow
def test_derivatives_are_those_of_the_solution():
    check_derivative(lambda s: soft_top_k(s, 3, 0.2), SCORES)
    weights = jnp.linspace(0.5, 2.0, 12)
    check_derivative(lambda s: soft_knapsack(s, weights, 4.0, 0.5), SCORES)
    check_derivative(lambda s: soft_budget(lambda z: jnp.sum(1 - jnp.exp(-z * s)), 12, 3, 0.5), SCORES)
    check_derivative(project_simplex, SCORES, size=1e-3)


def test_soft_decisions_approach_the_hard_ones():
    hard = jax.vmap(lambda s: hard_top_k(s, 3))(SCORES)
    assert hard.sum() == 15
    for soft in (
        jax.vmap(lambda s: soft_top_k(s, 3, 1e-5)),
        jax.vmap(lambda s: soft_knapsack(s + 5, jnp.ones(12), 3.0, 1e-4)),
        jax.vmap(lambda s: soft_budget(lambda z: jnp.sum(z * (s + 5)), 12, 3, 1e-4)),
    ):
        np.testing.assert_allclose(jax.jit(soft)(SCORES), hard, atol=0.02)
    best = jax.jit(jax.vmap(lambda s: soft_simplex(s, 1e-4)))(SCORES)
    np.testing.assert_allclose(best, jax.vmap(lambda s: hard_top_k(s, 1))(SCORES), atol=0.02)


def test_equal_scores_share_and_scale_does_not_overflow():
    np.testing.assert_allclose(soft_top_k(jnp.ones(4), 1), 0.25, rtol=1e-4)
    scaled = jax.jit(jax.vmap(jax.value_and_grad(lambda s: soft_top_k(s, 2)[0])))
    for scale in (1e-12, 1.0, 1e12):
        value, gradient = scaled(scale * SCORES)
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()


def test_a_knapsack_is_filled_and_never_overfilled():
    weights = jnp.linspace(0.5, 2.0, 12)
    full = jax.vmap(lambda s: soft_knapsack(s + 3, weights, 4.0, 0.1))(SCORES)
    np.testing.assert_allclose(full @ weights, 4.0, rtol=1e-3)
    loose = jax.vmap(lambda s: soft_knapsack(s, weights, 100.0, 0.1))(SCORES)
    np.testing.assert_allclose(loose, jax.nn.sigmoid(SCORES / 0.1), rtol=1e-5)


def test_the_projection_lies_on_the_simplex_and_leaves_it_alone():
    projected = jax.vmap(project_simplex)(SCORES)
    assert (projected >= 0).all()
    np.testing.assert_allclose(projected.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(project_simplex)(projected), projected, atol=1e-6)


@pytest.mark.slow
def test_a_quadratic_program_is_solved_and_differentiated():
    pytest.importorskip("qpax")
    simplex = (jnp.ones((1, 12)), jnp.ones(1)), (-jnp.eye(12), jnp.zeros(12))

    def nearest(point):
        """The projection on the simplex, as a quadratic program."""
        return quadratic_program(*cast((jnp.eye(12), -point, *simplex), point.dtype))

    probe = jnp.linspace(-1.0, 1.0, 12)

    def with_gradient(point):
        found, pull = jax.vjp(nearest, point)
        return found, pull(probe)[0]

    found, gradient = jax.jit(jax.vmap(with_gradient))(SCORES)
    np.testing.assert_allclose(found, jax.vmap(project_simplex)(SCORES), atol=2e-3)
    half = jax.jit(jax.vmap(nearest))(SCORES.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(float), found, atol=2e-2)
    exact = jax.vmap(jax.grad(lambda p: probe @ project_simplex(p)))(SCORES)
    # The derivative is that of a problem with barriers; it agrees in direction.
    cosine = jnp.sum(gradient * exact) / (jnp.linalg.norm(gradient) * jnp.linalg.norm(exact))
    assert cosine > 0.95


@pytest.mark.parametrize("k", [0, 12])
def test_choosing_none_or_all_is_refused(k):
    with pytest.raises(ValueError, match="less than the number of items"):
        soft_top_k(SCORES[0], k)
