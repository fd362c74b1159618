"""CAGrad against its dual, in float64."""

import numpy as np
import pytest

from polytask.combine.cagrad import cagrad
from tests.combine.exact import cone_projection, solutions, solvable, weigh

C = 0.5


def test_the_ball():
    """||d - g_0|| <= c ||g_0||, hence <d, g_0> >= (1 - c) ||g_0||^2: no conflict with the mean."""
    for case, (gradients, weights, _) in solvable("cagrad").items():
        mean = gradients.mean(axis=0)
        direction = weights @ gradients
        assert np.linalg.norm(direction - mean) < C * np.linalg.norm(mean) * (1 + 1e-3), case
        assert direction @ mean > (1 - C) * (mean @ mean) * (1 - 1e-3), case


def test_duality_gap():
    """min_i <g_i, d> is the dual value <g_u, g_0> + c ||g_0|| ||g_u|| of u, the weights beside the mean's."""
    for case, (gradients, weights, _) in solvable("cagrad").items():
        mean, norms = gradients.mean(axis=0), np.linalg.norm(gradients, axis=1)
        beside = np.maximum(weights - 1 / len(norms), 0)
        beside /= beside.sum()
        pulled = beside @ gradients
        dual = pulled @ mean + C * np.linalg.norm(mean) * np.linalg.norm(pulled)
        products = gradients @ (weights @ gradients)
        # Each <g_i, d> - t in units of |g_i|: long gradients lie far above t, short ones bind.
        scale = norms * (weights @ norms)
        assert ((products - dual) / scale).min() > -5e-6, case
        binding = beside * norms / (beside @ norms) > 1e-4
        assert np.abs((products - dual) / scale)[binding].max() < 5e-6, case


def test_two_tasks_of_equal_length():
    """By symmetry d = (1 + c) g_0 as long as g_1 and g_2 differ."""
    ((weights, _),) = weigh("cagrad", [np.array([[1.0, 0.5], [0.5, 1.0]])])
    np.testing.assert_allclose(weights, 0.75, rtol=1e-5)


def test_a_zero_gradient_improves_by_nothing():
    """Then any d in the ball with <g_i, d> >= 0 is best; the one next to g_0 is its projection on them."""
    case = np.array([[0.0, 0, 0], [2.0, 0, 1], [-1.0, 0.6, 0]])
    ((weights, residual),) = weigh("cagrad", [case])
    np.testing.assert_allclose(weights @ case, cone_projection(case, case.mean(axis=0)), atol=1e-6)
    assert residual < 1e-6


def test_stationary_points_stay_finite_and_inside():
    for case, (gradients, weights, _) in solutions("cagrad").items():
        norms = np.linalg.norm(gradients, axis=1)
        mean = gradients.mean(axis=0)
        error = np.linalg.norm(weights @ gradients - mean) - C * np.linalg.norm(mean)
        assert error < 1e-5 * (weights @ norms), case


def test_a_radius_that_means_nothing_is_refused():
    for c in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="from 0 to below 1"):
            cagrad(c)
