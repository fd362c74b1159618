"""IMTL-G and ConFIG, which go along the same line, against float64 pseudo-inverses."""

import numpy as np

from tests.combine.exact import solutions, solvable, unit, weigh


def independent(name):
    return {k: s for k, s in solvable(name).items() if k.startswith(("random", "aligned", "scaled"))}


def test_imtl_g_projects_equally_and_its_weights_sum_to_one():
    for case, (gradients, weights, _) in independent("imtl_g").items():
        np.testing.assert_allclose(weights.sum(), 1, atol=1e-6 * np.abs(weights).sum())
        projections = unit(gradients) @ (weights @ gradients)
        size = np.abs(weights) @ np.linalg.norm(gradients, axis=1)
        assert np.ptp(projections) < 5e-6 * size, case


def test_config_is_what_its_definition_says():
    for case, (gradients, weights, _) in solutions("config").items():
        if case.startswith(("conflicting", "opposed")):  # cosines that float32 cannot tell from dependent ones
            continue
        along = np.linalg.pinv(unit(gradients), rcond=1e-5) @ np.ones(len(gradients))
        if np.linalg.norm(along) < 1e-3:  # opposed gradients: nothing but rounding
            continue
        along /= np.linalg.norm(along)
        size = np.linalg.norm(gradients, axis=1).sum()
        error = np.linalg.norm(weights @ gradients - (gradients @ along).sum() * along)
        assert error < 2e-5 * size, case


def test_config_has_equal_positive_cosines_with_independent_gradients():
    for case, (gradients, weights, _) in independent("config").items():
        cosines = unit(gradients) @ unit((weights @ gradients)[None])[0]
        assert cosines.min() > 0, case
        np.testing.assert_allclose(cosines, cosines.mean(), rtol=1e-4, err_msg=case)


def test_both_go_along_the_same_line():
    for case, (gradients, weights, _) in independent("imtl_g").items():
        other = independent("config")[case][1] @ gradients
        cosine = unit((weights @ gradients)[None])[0] @ unit(other[None])[0]
        np.testing.assert_allclose(abs(cosine), 1, rtol=1e-6, err_msg=case)


def test_imtl_g_may_point_against_every_task():
    """What the docstring warns of: sum w = 1, of weights whose sum was negative."""
    case = np.array([[1.0, 0, 0], [0, 1, 0], [0.07, 0.07, 0.02]])
    ((weights, _),) = weigh("imtl_g", [case])
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    projections = unit(case) @ (weights @ case)
    np.testing.assert_allclose(projections, projections.mean(), rtol=1e-4)
    assert projections.max() < 0


def test_imtl_g_of_opposed_gradients_is_zero():
    ((weights, _),) = weigh("imtl_g", [np.array([[1.0, 2.0], [-1.0, -2.0]])])
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights @ [[1.0, 2.0], [-1.0, -2.0]], 0, atol=1e-6)
