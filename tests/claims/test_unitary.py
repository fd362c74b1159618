"""The comparison with the plain sum: corrections, verdicts and what takes part."""

import numpy as np
import pytest
from scipy import stats

from polytask.claims.unitary import LEFT_OUT, METHODS, compare, holm, judge
from polytask.combine import COMBINERS


def test_every_combiner_takes_part_or_is_left_out_for_a_reason():
    assert sorted({"sum", *METHODS, *LEFT_OUT}) == sorted(COMBINERS)


def test_holm():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])


def scores(shift, seed):
    return {"test": np.random.default_rng(seed).normal(90 + shift, 0.1, 8), "learning rate": np.array(0.01)}


def test_methods_are_told_apart():
    by_method = {"sum": scores(0, 0), "same": scores(0, 1), "up": scores(2, 2), "down": scores(-2, 3)}
    found = {entry["method"]: entry for entry in compare({"one": by_method})}
    kinds = {name: [kind for kind in ("better", "worse", "equivalent") if e[kind]] for name, e in found.items()}
    assert kinds == {"same": ["equivalent"], "up": ["better"], "down": ["worse"]}
    expected = stats.ttest_rel(by_method["up"]["test"], by_method["sum"]["test"], alternative="greater").pvalue
    assert found["up"]["p better"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("better", "verdict"),
    [((False, False), "holds"), ((True, False), "mixed"), ((True, True), "does not hold")],
)
def test_the_verdict(better, verdict):
    other = [{"method": "b", "better": False}] * 2
    assert judge([*({"method": "a", "better": b} for b in better), *other]) == verdict
