"""The implicit gradient against the exact one: of the closed form, of an unrolled loop, and by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from polytask.losses import conjugate_gradient, direct, hypergradient, identity_inverse

TOLERANCE = 1e-3
ROWS, FEATURES = 40, 3
KEYS = jax.random.split(jax.random.key(0), 4)
X = jax.random.normal(KEYS[0], (ROWS, FEATURES))
Y = jnp.sin(2 * X[:, 0]) + X[:, 1] ** 2 - 1 + 0.3 * jax.random.normal(KEYS[1], (ROWS,))
CARES = jax.random.uniform(KEYS[2], (ROWS,))
PHI = {"slope": 0.5 * jax.random.normal(KEYS[3], (FEATURES,)), "offset": jnp.float32(0.1)}


def weights(phi):
    return jnp.exp(X @ phi["slope"] + phi["offset"])


def inner(theta, phi):
    """The squared error of a line under a learned weight for each sample."""
    return jnp.mean(weights(phi) * jnp.square(X @ theta - Y)) / 2


def outer(theta):
    """What the task pays: smooth, and not what the inner loss minimises."""
    return jnp.mean(CARES * jnp.logaddexp(0.0, 2 * (X @ theta - Y)))


def solution(phi):
    """The weighted least squares in closed form."""
    weighted = X * weights(phi)[:, None]
    return jnp.linalg.solve(weighted.T @ X, weighted.T @ Y)


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def relative(found, exact) -> float:
    return float(np.linalg.norm(flat(found) - flat(exact)) / np.linalg.norm(flat(exact)))


EXACT = jax.jit(jax.grad(lambda phi: outer(solution(phi))))(PHI)
SOLVERS = {"cg": conjugate_gradient(), "direct": direct()}


@pytest.mark.parametrize("name", SOLVERS)
def test_it_is_the_gradient_of_the_closed_form(name):
    found = jax.jit(lambda phi: hypergradient(inner, outer, solution(phi), phi, SOLVERS[name]))(PHI)
    assert relative(found.gradient, EXACT) < 1e-4
    assert found.inner_residual < 1e-5
    assert found.solve_residual < 1e-3
    np.testing.assert_allclose(found.outer, outer(solution(PHI)), rtol=1e-6)


def test_it_is_the_gradient_of_an_unrolled_loop():
    def unrolled(phi):
        step = lambda theta, _: (theta - 0.3 * jax.grad(inner)(theta, phi), None)  # noqa: E731
        return jax.lax.scan(step, jnp.zeros(FEATURES), length=300)[0]

    found = jax.jit(lambda phi: hypergradient(inner, outer, unrolled(phi), phi, direct()))(PHI)
    assert relative(found.gradient, jax.jit(jax.grad(lambda phi: outer(unrolled(phi))))(PHI)) < TOLERANCE


def test_it_agrees_with_finite_differences():
    vector, unravel = ravel_pytree(PHI)
    # At 0.05 the fourth-order formula errs by about 1e-5, and rounding of the value by 1e-6.
    size = 0.05
    points = vector[None, None] + size * jnp.array([-2.0, -1, 1, 2])[:, None, None] * jnp.eye(len(vector))[None]
    low2, low, high, high2 = jax.jit(jax.vmap(jax.vmap(lambda v: outer(solution(unravel(v))))))(points)
    numeric = unravel((8 * (high - low) - (high2 - low2)) / (12 * size))
    found = jax.jit(lambda phi: hypergradient(inner, outer, solution(phi), phi, direct()))(PHI)
    assert relative(found.gradient, numeric) < TOLERANCE


def test_both_solvers_give_the_ridge_solution_of_an_indefinite_matrix():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))
    matrix = rotation @ np.diag([3.0, -1.0, 0.5, 0.2, 0.0]) @ rotation.T
    g = rotation @ np.array([1.0, 2.0, -1.0, 0.5, 0.0])
    exact = np.linalg.solve(matrix @ matrix + 1e-3 * np.eye(5), matrix @ g)
    h, right = jnp.asarray(matrix, jnp.float32), jnp.asarray(g, jnp.float32)
    for solver in (direct(1e-3), conjugate_gradient(8, 1e-3)):
        np.testing.assert_allclose(solver(lambda v: h @ v, right), exact, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("solver", [direct(), conjugate_gradient(), identity_inverse()])
def test_solvers_stay_finite_at_any_scale(solver):
    scales, sides = jnp.array([0.0, 1e-12, 1e12]), jnp.array([[1.0, 1, 1], [0, 0, 0]])
    at = lambda scale, g: solver(lambda v: scale * v, g)  # noqa: E731
    assert jnp.isfinite(jax.jit(jax.vmap(jax.vmap(at, (None, 0)), (0, None)))(scales, sides)).all()


def test_away_from_the_solution_the_error_falls_with_the_residual():
    """The claim of docs/task_losses.md: half the residual, half the error."""
    direction = jnp.array([1.0, -1.0, 0.5])
    measure = jax.jit(lambda d: hypergradient(inner, outer, solution(PHI) + d * direction, PHI, direct()))
    far, near = measure(0.04), measure(0.02)
    np.testing.assert_allclose(far.inner_residual / near.inner_residual, 2, rtol=0.01)
    np.testing.assert_allclose(relative(far.gradient, EXACT) / relative(near.gradient, EXACT), 2, rtol=0.15)


def test_parameters_that_change_nothing_do_no_harm():
    def wasteful(theta, phi):
        return inner(theta[:FEATURES], phi)

    theta = jnp.concatenate([solution(PHI), jnp.array([7.0, -3.0])])
    for solver in SOLVERS.values():
        find = lambda t, s=solver: hypergradient(wasteful, lambda t: outer(t[:FEATURES]), t, PHI, s)  # noqa: E731
        found = jax.jit(find)(theta)
        assert relative(found.gradient, EXACT) < TOLERANCE


def test_a_solver_without_steps_is_refused():
    with pytest.raises(ValueError, match="steps >= 1"):
        conjugate_gradient(0)


def test_conjugate_gradients_do_not_leave_float32():
    """A Hessian of a million million, whose fourth power no float32 holds; one that vanishes; and no gradient."""
    values, g = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, -2.0, 0.5])
    scales, sizes = jnp.array([1.0, 1e12, 1e12, 1e-12, 0.0, 1.0]), jnp.array([1.0, 1.0, 1e6, 1.0, 1.0, 0.0])
    solve = conjugate_gradient(5)
    found = jax.jit(jax.vmap(lambda scale, size: solve(lambda v: scale * values * v, size * g)))(scales, sizes)
    np.testing.assert_allclose(found[:3], (sizes / scales)[:3, None] * (g / values)[None], rtol=1e-4)
    np.testing.assert_allclose(found[3:], 0, atol=1e-5)
