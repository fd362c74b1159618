"""FairGrad and Nash-MTL against their equations, in float64."""

import numpy as np
import pytest

from polytask.combine.fairgrad import fairgrad
from tests.combine.exact import CASES, SOLVABLE, solutions, solvable, weigh

ALPHAS = {"nash_mtl": 1.0, "fairgrad": 2.0, "fairgrad_half": 0.5}
WELL_POSED = ("random", "aligned", "duplicates")


@pytest.mark.parametrize("name", ALPHAS)
def test_the_equation(name):
    """G w = w^(-1/alpha)."""
    for case, (gradients, weights, _) in solvable(name).items():
        products, wanted = gradients @ (weights @ gradients), weights ** (-1 / ALPHAS[name])
        if case.startswith(WELL_POSED):
            np.testing.assert_allclose(products, wanted, rtol=2e-5, err_msg=case)
        norms = np.linalg.norm(gradients, axis=1)
        bound = norms * np.abs(gradients @ gradients.T / norms) @ weights
        assert (np.abs(products - wanted) / bound).max() < 3e-6, case


def test_the_length_of_nash():
    """||d||^2 is the number of tasks, however long the gradients are."""
    for case, (gradients, weights, _) in solvable("nash_mtl").items():
        direction = weights @ gradients
        exact = 1e-5 if case.startswith((*WELL_POSED, "scaled")) else 2e-2
        np.testing.assert_allclose(direction @ direction, len(gradients), rtol=exact, err_msg=case)


def test_two_tasks_of_nash():
    """w_i = 1 / (|g_i| sqrt(1 + cos))."""
    rng = np.random.default_rng(0)
    cases = [rng.normal(size=(2, 3)) * 10.0 ** rng.uniform(-5, 5, size=(2, 1)) for _ in range(32)]
    for case, (weights, _) in zip(cases, weigh("nash_mtl", cases), strict=True):
        norms = np.linalg.norm(case, axis=1)
        cosine = case[0] @ case[1] / norms.prod()
        np.testing.assert_allclose(weights, 1 / (norms * np.sqrt(1 + cosine)), rtol=2e-6 / (1 + cosine))


@pytest.mark.parametrize("name", ALPHAS)
def test_weights_of_scaled_gradients(name):
    """w(c J) = c^(-2 alpha / (alpha + 1)) w(J), from 1e-12 to 1e12 as far as float32 can hold the weights."""
    case, alpha = CASES["random_5"].astype(np.float64), ALPHAS[name]
    factors = 10.0 ** np.arange(-12, 13, 6)
    for factor, (weights, _) in zip(factors, weigh(name, [c * case for c in factors]), strict=True):
        expected = solutions(name)["random_5"][1] * factor ** (-2 * alpha / (alpha + 1))
        np.testing.assert_allclose(weights, expected, rtol=2e-5)


@pytest.mark.parametrize("name", ALPHAS)
def test_orthogonal_gradients(name):
    """|g_i|^2 w_i = w_i^(-1/alpha): w_i = |g_i|^(-2 alpha / (1 + alpha))."""
    norms, alpha = np.logspace(-6, 6, 7), ALPHAS[name]
    ((weights, _),) = weigh(name, [np.diag(norms)])
    np.testing.assert_allclose(weights, norms ** (-2 * alpha / (1 + alpha)), rtol=1e-5)


def test_alpha_must_be_positive():
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            fairgrad(alpha)


def test_stationary_points_have_small_certificates_but_no_solution():
    """Weights grow and stop; the step is short for that: |d| is far below sqrt(n)."""
    assert "stationary" not in SOLVABLE
    for tasks in (2, 5, 12):
        gradients, weights, residual = solutions("nash_mtl")[f"stationary_{tasks}"]
        assert residual < 3e-6
        assert np.linalg.norm(weights @ gradients) < 0.1
        assert (weights * np.linalg.norm(gradients, axis=1)).max() > 100
