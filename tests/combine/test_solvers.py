"""The solver of non-negative quadratic programs, and what holds for every method that solves a problem."""

import jax
import numpy as np
import pytest

from polytask.combine.pivoting import active_set
from polytask.combine.solvers import nonnegative_qp
from tests.combine.exact import METHODS, cone_projection, conflict, jacobians, solutions, traced, unit, weigh

EXACT = [name for name in METHODS if name != "sdmgrad"]  # SDMGrad's inner steps are part of the method

qp, pivots = jax.jit(jax.vmap(nonnegative_qp)), jax.jit(jax.vmap(active_set))


def solve_qp(matrices, linears):
    """Small batches of small problems are filled up to one shape, compiled once."""
    batch, tasks = np.shape(linears)
    rows, columns = max(batch, 8), max(tasks, 5)
    filled = np.tile(np.eye(columns, dtype=np.float32), (rows, 1, 1)), np.zeros((rows, columns), np.float32)
    filled[0][:batch, :tasks, :tasks], filled[1][:batch, :tasks] = matrices, linears
    x, residual = qp(*filled, np.tile(np.arange(columns) < tasks, (rows, 1)))
    return np.float64(x)[:batch, :tasks], np.float64(residual)[:batch]


def kkt(matrix, linear, x):
    """Relative to sum(x) + max|f|, in float64."""
    slack = np.float64(np.float32(matrix)) @ x - np.float64(np.float32(linear))
    return np.abs(np.minimum(x, slack)).max() / (x.sum() + np.abs(linear).max() + 1e-300)


@pytest.mark.parametrize("tasks", [5, 64])
def test_quadratic_program_meets_its_optimality_conditions(tasks):
    cosines = [unit(case) @ unit(case).T for case in jacobians(tasks).values()]
    rng = np.random.default_rng(0)
    linears = [-c @ rng.uniform(0, 10.0 ** rng.uniform(-6, 6), tasks) for c in cosines]
    x, residuals = solve_qp(cosines, linears)
    for c, f, xi, r in zip(cosines, linears, x, residuals, strict=True):
        # np.linalg's float64 arithmetic on the float32 problem; the solver's own figure is computed in float32.
        assert kkt(c, f, xi) < 1e-6
        assert r < 1e-6


def test_quadratic_program_finds_exact_zeros():
    """min (x - f)^2 / 2 over x >= 0 is max(f, 0)."""
    linear = np.array([[3.0, -2.0, 1e-3, 0.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -1.0, -1.0, -1.0]])
    x, residuals = solve_qp(np.broadcast_to(np.eye(4), (3, 4, 4)), linear)
    np.testing.assert_allclose(x, np.maximum(linear, 0), rtol=2e-6)
    assert (x[linear <= 0] == 0).all()
    assert (residuals < 1e-6).all()


@pytest.mark.parametrize("tasks", [5, 64])
def test_quadratic_program_projects_as_nnls_does(tasks):
    cases = [jacobians(tasks)[name] for name in ("random", "aligned", "duplicates")]
    rows, vector = np.stack([unit(case) for case in cases]), np.random.default_rng(1).normal(size=3 * tasks)
    x, _ = solve_qp(rows @ rows.swapaxes(1, 2), -rows @ vector)
    for case, own, xi in zip(cases, rows, x, strict=True):
        expected = cone_projection(case, vector)
        assert np.linalg.norm(vector + xi @ own - expected) < 1e-5 * np.linalg.norm(vector)


def nearly_singular(tasks, trials):
    """Unit gradients in pairs that are nearly the same or nearly opposed, by 1e-7 to 0.1."""
    rng = np.random.default_rng(2)
    for trial in range(trials):
        rows = rng.normal(size=(tasks, tasks))[np.arange(tasks) // 2] * (-1.0) ** (np.arange(tasks)[:, None] * trial)
        yield unit(rows + 10.0 ** rng.uniform(-7, -1) * rng.normal(size=rows.shape))


def test_the_interior_point_method_takes_over_where_pivots_fail():
    cosines = np.stack([rows @ rows.T for rows in nearly_singular(40, 40)]).astype(np.float32)
    linears = -cosines[:, 0]
    x, residuals = solve_qp(cosines, linears)
    pivoted = pivots(cosines, linears, np.ones(linears.shape, bool))
    by_pivots = np.array([kkt(*problem) for problem in zip(cosines, linears, np.float64(pivoted), strict=True)])
    both = np.array([kkt(*problem) for problem in zip(cosines, linears, x, strict=True)])
    assert (by_pivots > 1e-6).any()
    assert (by_pivots < 2e-7).sum() > 20
    assert (both < 3e-7).all()
    assert (residuals < 3e-7).all()


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [1, 2, 5, 12, 64])
def test_pivots_alone_solve_what_is_far_from_singular(tasks):
    """As non-negative least squares in float64 does; what is not active stays zero."""
    rows = unit(np.random.default_rng(tasks).normal(size=(tasks, 3 * tasks)))
    vector, active = rows[0] - rows[-1] - rows.sum(axis=0), np.arange(tasks) % 3 != 1
    cosines = np.where(active[:, None] & active, rows @ rows.T, np.eye(tasks))
    linear = np.where(active, -rows @ vector, 7.0)
    scale = np.abs(linear[active]).max()
    # Filled up to 64 tasks with some that are not active: one shape, compiled once.
    h, f, filled = np.eye(64, dtype=np.float32), np.zeros(64, np.float32), np.zeros(64, bool)
    h[:tasks, :tasks], f[:tasks], filled[:tasks] = cosines, linear / scale, active
    x = np.asarray(pivots(h[None], f[None], filled[None]))[0, :tasks]
    assert not x[~active].any()
    expected = cone_projection(rows[active], vector)
    assert np.linalg.norm(vector + np.float64(x) * scale @ rows - expected) < 1e-5 * np.linalg.norm(vector)


def test_an_unbounded_program_ends_and_says_so():
    """No x >= 0 is best where H x = 0 and f x > 0."""
    x, _ = solve_qp([[[1.0, -1.0], [-1.0, 1.0]]], [[1.0, 1.0]])
    assert np.isfinite(x).all()
    assert x.sum() > 1e4


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_every_certificate_is_small(name):
    """Rank-deficient, duplicate, opposed, stationary and badly scaled gradients, one task to twelve."""
    for case, (_, weights, residual) in solutions(name).items():
        assert np.isfinite(weights).all(), case
        assert residual < 3e-6, f"{case}: {residual:.1e}"


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_every_certificate_is_small_for_64_tasks(name):
    cases = jacobians(64)
    for case, (weights, residual) in zip(cases, weigh(name, list(cases.values()), 64), strict=True):
        assert np.isfinite(weights).all(), case
        assert residual < 3e-6, f"{case}: {residual:.1e}"


# Proved: MGDA, UPGrad, DualProj, Nash-MTL and FairGrad. Not ConFIG and IMTL-G (only for independent gradients, and
# IMTL-G's weights may even then sum to less than zero), not Aligned-MTL and SDMGrad; CAGrad: see test_cagrad.py.
@pytest.mark.parametrize("name", ["mgda", "upgrad", "dual_proj", "nash_mtl", "fairgrad", "fairgrad_half"])
def test_no_conflict_where_it_is_proved(name):
    for case, (gradients, weights, _) in solutions(name).items():
        assert conflict(gradients, weights) < 2e-6, case


@pytest.mark.parametrize("name", METHODS)
def test_zero_gradients(name):
    """Some, and all: finite weights; where zero gradients are left out, the others do not see them."""
    random = jacobians(5)["random"]
    some, every = np.where(np.arange(5)[:, None] < 2, 0.0, random), np.zeros_like(random)
    (weights, _), (nothing, _), (others, _) = weigh(name, [some, every, random[2:]])
    assert np.isfinite(weights).all()
    assert np.isfinite(nothing).all()
    if name in ("imtl_g", "nash_mtl", "fairgrad", "fairgrad_half", "config"):
        assert not weights[:2].any()
        assert not nothing.any()
        np.testing.assert_allclose(weights[2:], others, rtol=1e-4, atol=1e-6 * np.abs(others).max())
    if name == "mgda":
        np.testing.assert_allclose(weights, [0.5, 0.5, 0, 0, 0], rtol=1e-6)
        np.testing.assert_allclose(nothing, 0.2, rtol=1e-6)
    if name in ("upgrad", "dual_proj"):
        np.testing.assert_allclose(weights[:2], 0.2, rtol=1e-6)
        np.testing.assert_allclose(weights[2:] * 5, others * 3, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_no_task_at_all(name):
    ((weights, residual),) = weigh(name, [np.zeros((0, 3), np.float32)])
    assert weights.size == 0
    assert np.isfinite(residual)


@pytest.mark.parametrize("name", METHODS)
def test_no_host_callback_and_no_float64(name):
    program = str(traced(name).jaxpr)
    assert "callback" not in program
    assert "f64" not in program
