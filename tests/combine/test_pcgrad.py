"""PCGrad against its definition, and the identities of two conflicting tasks."""

import jax
import numpy as np
import pytest

from polytask.combine.draws import random_orders
from tests.combine.cases import BATCH, KEY, assert_close, combine, jacobians
from tests.goldens.reference import load


def by_definition(gradients: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Algorithm 1 of the paper on the gradients themselves, in float64."""
    gradients = gradients.astype(np.float64)
    total = np.zeros(gradients.shape[1])
    for i, order in enumerate(orders):
        projected = gradients[i].copy()
        for j in order:
            if j != i and projected @ gradients[j] < 0:
                projected -= projected @ gradients[j] / (gradients[j] @ gradients[j]) * gradients[j]
        total += projected
    return total


@pytest.mark.parametrize("case", jacobians(5))
def test_definition(case):
    gradients = jacobians(5)[case]
    expected = by_definition(gradients, np.asarray(random_orders(KEY, 5)))
    # Rank-deficient conflicts cancel: the error is that of the terms, not of the small rest.
    error = np.abs(combine("pcgrad", gradients[None]).gradient[0] - expected).max()
    assert error <= 1e-5 * np.abs(gradients).sum()


def test_orders_are_uniform_and_independent_between_tasks():
    orders = jax.jit(jax.vmap(lambda k: random_orders(k, 3)))(jax.random.split(KEY, 3000))
    codes = orders[:, :, 0] * 3 + orders[:, :, 1]
    for task in range(3):
        counts = np.unique(codes[:, task], return_counts=True)[1]
        assert counts.shape == (6,)
        assert np.abs(counts - 500).max() < 100  # 5 standard deviations
    assert np.abs((codes[:, 0] == codes[:, 1]).mean() - 1 / 6) < 0.035


def test_identities_of_two_conflicting_tasks():
    """|d|^2 = (1 - cos^2)|g1 - g2|^2 and g . d = (1 - cos^2)(|g1|^2 + |g2|^2), with g = g1 + g2."""
    pairs = np.random.default_rng(1).normal(size=(BATCH, 2, 12)).astype(np.float32)
    pairs[:, 1] *= np.where(np.einsum("ki,ki->k", *pairs.swapaxes(0, 1)) > 0, -1, 1)[:, None]
    pairs[:, 1] *= np.logspace(-3, 3, BATCH, dtype=np.float32)[:, None]
    d = np.asarray(combine("pcgrad", pairs).gradient, np.float64)
    g1, g2 = pairs.astype(np.float64).swapaxes(0, 1)
    norm1, norm2 = np.linalg.norm(g1, axis=1), np.linalg.norm(g2, axis=1)
    sine2 = 1 - (np.einsum("ki,ki->k", g1, g2) / (norm1 * norm2)) ** 2
    np.testing.assert_allclose(np.square(d).sum(1), sine2 * np.square(g1 - g2).sum(1), rtol=1e-4)
    np.testing.assert_allclose(np.einsum("ki,ki->k", g1 + g2, d), sine2 * (norm1**2 + norm2**2), rtol=1e-4)


def test_no_conflict_is_the_sum():
    gradients = np.abs(jacobians(5)["random"])
    assert_close(combine("pcgrad", gradients[None]).gradient[0], gradients.sum(0))


def test_two_tasks_agree_with_torchjds_upgrad():
    """For two tasks PCGrad is UPGrad of the sum. TorchJD's: of the mean, its Gramian regularised by 1e-4."""
    golden = load("torchjd_018")
    jacobian = golden["jacobian/two_opposed"].astype(np.float32)
    padded = np.zeros((1, 2, 12), np.float32)
    padded[0, :, :3] = jacobian
    assert_close(combine("pcgrad", padded).gradient[0, :3], 2 * golden["upgrad/two_opposed"], relative=3e-4)
