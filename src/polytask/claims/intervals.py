"""Means over seeds with intervals, and tests of equivalence."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Mean(NamedTuple):
    """A mean over seeds and its 95 % interval; None where there is one seed."""

    value: float
    low: float | None
    high: float | None

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below zero, else 0, as without an interval."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def over_seeds(values: Float[np.ndarray, " seeds"], confidence: float = 0.95) -> Mean:
    """The mean of one number per seed with Student's t interval; for paired comparisons give it the differences."""
    from scipy import stats

    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return Mean(mean, None, None)
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Mean(mean, mean - half, mean + half)


class Equivalence(NamedTuple):
    """Two one-sided tests: `p` below 0.05 says that the mean lies within the margin."""

    p: float
    low: float
    high: float


def equivalence(differences: Float[np.ndarray, " seeds"], margin: float) -> Equivalence:
    """TOST (Schuirmann 1987): p = max of P(t > (d + margin) / se) and P(t < (d - margin) / se), for paired differences.

    `low`, `high`: the 90 % interval, which lies within the margin exactly where p < 0.05. Needs two seeds.
    """
    from scipy import stats

    differences = np.asarray(differences, float)
    n = len(differences)
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(n))
    if error == 0:
        return Equivalence(float(abs(mean) >= margin), mean, mean)
    p = max(stats.t.sf((mean + margin) / error, n - 1), stats.t.cdf((mean - margin) / error, n - 1))
    _, low, high = over_seeds(differences, 0.9)
    assert low is not None
    assert high is not None
    return Equivalence(float(p), low, high)
