"""Aligned-MTL and its eigenpairs against float64."""

import numpy as np
import pytest

from polytask.combine.aligned import aligned
from polytask.combine.eigen import tournament
from tests.combine.exact import solutions, weigh

COMMON = {"aligned": np.min, "aligned_median": lambda v: np.sort(v)[(len(v) - 1) // 2], "aligned_rmse": np.mean}
# Where float32 sees the eigenvalues as they are. The smallest of "conflicting" is 1e-4 of the largest, or less.
CLEAR = ("random", "aligned", "scaled", "duplicates", "rank_deficient")


def expected(gradients, name):
    """sqrt(s) V Lambda^(-1/2) V^T 1/n, from the singular values: they keep what squares would lose."""
    left, values, _ = np.linalg.svd(gradients, full_matrices=False)
    norms = np.linalg.norm(gradients, axis=1)
    # The rank is that of the unit gradients.
    rank = np.linalg.matrix_rank(gradients / norms[:, None], tol=1e-5)
    left, values = left[:, :rank], values[:rank]
    return left @ (left.T @ np.full(len(norms), 1 / len(norms)) / values) * np.sqrt(COMMON[name](values**2))


@pytest.mark.parametrize("name", COMMON)
def test_the_definition(name):
    for case, (gradients, weights, _) in solutions(name).items():
        if case.startswith(CLEAR):
            wanted = expected(gradients, name) @ gradients
            error = np.linalg.norm(weights @ gradients - wanted)
            assert error < 1e-4 * np.linalg.norm(wanted), f"{case}: {error / np.linalg.norm(wanted):.1e}"


def test_orthogonal_gradients_become_equally_long():
    """d = min_i |g_i| sum_i g_i / (n |g_i|), over twelve orders of magnitude: no eigenvalue is lost beside another."""
    norms = np.logspace(0, -12, 7)
    ((weights, _),) = weigh("aligned", [np.diag(norms)])
    np.testing.assert_allclose(weights, norms.min() / norms / 7, rtol=1e-5)


def test_nearly_parallel_gradients_of_very_different_lengths():
    """Eigenvalues 1e-10 of the largest, in no coordinate's direction."""
    rng = np.random.default_rng(3)
    case = (rng.normal(size=(6, 8)) + 2 * rng.normal(size=8)) * np.logspace(0, -5, 6)[:, None]
    ((weights, _),) = weigh("aligned", [case.astype(np.float32)])
    wanted = expected(np.float64(case.astype(np.float32)), "aligned")
    np.testing.assert_allclose(weights @ case, wanted @ case, atol=2e-4 * np.linalg.norm(wanted @ case))


@pytest.mark.parametrize("players", [2, 4, 12, 64])
def test_everyone_meets_everyone_once(players):
    rounds = tournament(players)
    assert rounds.shape == (players - 1, 2, players // 2)
    assert all(sorted(r.ravel()) == list(range(players)) for r in rounds)
    pairs = {tuple(sorted(pair)) for r in rounds for pair in r.T.tolist()}
    assert len(pairs) == players * (players - 1) // 2


def test_other_lengths_are_refused():
    with pytest.raises((TypeError, ValueError), match="'min', 'median'"):
        aligned("max")  # type: ignore[arg-type]
