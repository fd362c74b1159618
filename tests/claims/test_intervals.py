"""Intervals over seeds against SciPy's own tests."""

import numpy as np
import pytest
from scipy import stats

from polytask.claims.intervals import equivalence, over_seeds


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(0.3, 1.0, 9)
    found = over_seeds(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high])
    assert over_seeds(values[:1]) == (values[0], None, None)


@pytest.mark.parametrize("shift", [0.0, 0.2, -0.9])
def test_equivalence_is_two_one_sided_tests(shift):
    values = np.random.default_rng(1).normal(shift, 0.5, 10)
    found = equivalence(values, 0.5)
    above = stats.ttest_1samp(values, -0.5, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.5, alternative="less").pvalue
    assert found.p == pytest.approx(max(above, below))
    assert (found.p < 0.05) == (found.low > -0.5 and found.high < 0.5)


def test_equal_seeds_have_no_spread():
    assert equivalence(np.zeros(3), 0.5) == (0.0, 0.0, 0.0)
    assert equivalence(np.ones(3), 0.5).p == 1.0
