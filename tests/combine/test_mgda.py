"""MGDA against the definition, in float64."""

import numpy as np

from tests.combine.exact import shortest_in_hull, solutions, weigh


def test_optimality_conditions():
    """<g_i, d> >= |d|^2, with equality where w_i > 0; in units of |g_i| sum_j w_j |g_j|, also where d vanishes."""
    for case, (gradients, weights, _) in solutions("mgda").items():
        norms = np.linalg.norm(gradients, axis=1)
        length, direction = weights @ norms, weights @ gradients
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
        gap = (gradients @ direction - direction @ direction) / (norms * length)
        assert np.abs(np.minimum(gap, weights * norms / length)).max() < 2e-6, case


def test_min_norm_point():
    for case, (gradients, weights, _) in solutions("mgda").items():
        norms = np.linalg.norm(gradients, axis=1)
        error = np.linalg.norm(weights @ gradients - shortest_in_hull(gradients))
        # d is determined as well as the cosines are, which float32 rounds, and to the root of that where d vanishes.
        assert error < 3e-4 * (weights @ norms), case


def test_two_tasks_are_a_clamp():
    """w_1 = clamp(<g_2 - g_1, g_2> / |g_2 - g_1|^2, 0, 1) (Sener & Koltun 2018)."""
    rng = np.random.default_rng(0)
    cases = [rng.normal(size=(2, 3)) * 10.0 ** rng.uniform(-2, 2, size=(2, 1)) for _ in range(32)]
    for case, (weights, _) in zip(cases, weigh("mgda", cases), strict=True):
        first, second = case
        share = np.clip((second - first) @ second / ((second - first) @ (second - first)), 0, 1)
        np.testing.assert_allclose(weights, [share, 1 - share], rtol=2e-5, atol=1e-9)


def test_duplicates_change_nothing():
    case = np.random.default_rng(1).normal(size=(4, 6)) + 0.5
    once, twice = weigh("mgda", [case, np.concatenate([case, case[:3]])])
    np.testing.assert_allclose(twice[0] @ np.concatenate([case, case[:3]]), once[0] @ case, atol=1e-5)


def test_a_convex_combination_of_zero_is_found():
    """A Pareto-stationary point: 2 g_1 + g_2 + g_3 = 0."""
    pair = np.array([[1.0, 0, 0], [0, 2, 1]])
    case = np.concatenate([pair, [-2 * pair[0] - pair[1]]])
    ((weights, _),) = weigh("mgda", [case])
    np.testing.assert_allclose(weights, [0.5, 0.25, 0.25], rtol=1e-5)
