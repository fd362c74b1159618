"""UPGrad and DualProj against float64 projections; two tasks against PCGrad."""

import numpy as np
import pytest

from tests.combine.exact import cone_projection, solutions, weigh


def projected(name, gradients):
    if name == "dual_proj":
        return cone_projection(gradients, gradients.mean(axis=0))
    return np.mean([cone_projection(gradients, g) for g in gradients], axis=0)


@pytest.mark.parametrize("name", ["upgrad", "dual_proj"])
def test_the_projection_is_exact(name):
    for case, (gradients, weights, _) in solutions(name).items():
        error = np.linalg.norm(weights @ gradients - projected(name, gradients))
        size = np.linalg.norm(gradients, axis=1).mean()
        well_posed = not case.startswith(("conflicting", "opposed", "stationary"))
        assert error < (1e-5 if well_posed else 3e-4) * size, case


def test_dual_proj_optimality_conditions():
    """v >= 1/n, <g_i, d> >= 0, and one of the two with equality."""
    for case, (gradients, weights, _) in solutions("dual_proj").items():
        norms = np.linalg.norm(gradients, axis=1)
        scale = weights @ norms
        products = gradients @ (weights @ gradients) / (norms * scale)
        assert np.abs(np.minimum(products, (weights - 1 / len(norms)) * norms / scale)).max() < 2e-6, case


@pytest.mark.parametrize("name", ["upgrad", "dual_proj"])
def test_without_conflict_it_is_the_mean(name):
    case = np.abs(np.random.default_rng(0).normal(size=(6, 4)))
    ((weights, _),) = weigh(name, [case])
    np.testing.assert_allclose(weights, 1 / 6, rtol=1e-6)


def test_upgrad_of_two_tasks_is_half_of_pcgrad():
    rng = np.random.default_rng(0)
    cases = [rng.normal(size=(2, 3)) * [[1.0], [10.0 ** rng.uniform(-3, 3)]] for _ in range(32)]
    for case, (weights, _) in zip(cases, weigh("upgrad", cases), strict=True):
        first, second = case
        dot = min(first @ second, 0.0)
        pcgrad = first - dot / (second @ second) * second + second - dot / (first @ first) * first
        np.testing.assert_allclose(weights @ case, pcgrad / 2, atol=1e-5 * np.linalg.norm(case))


def test_upgrad_is_linear_in_each_length():
    """Quinton & Rey 2024, "linear under scaling": d(diag(c) J) is linear in c, for c > 0."""
    rng = np.random.default_rng(2)
    case, a, b = rng.normal(size=(5, 6)), *rng.uniform(0.1, 10, size=(2, 5, 1))
    both, first, second = (w @ c for c, (w, _) in zip(
        ((a + b) * case, a * case, b * case),
        weigh("upgrad", [(a + b) * case, a * case, b * case]), strict=True))  # fmt: skip
    np.testing.assert_allclose(both, first + second, atol=1e-5 * np.linalg.norm(both))
