"""The claim `mu2net`: what is made of its numbers."""

import numpy as np
import pytest

from polytask.claims.base import check
from polytask.claims.mu2net import Plan, finding


@pytest.mark.parametrize(
    ("accuracy", "changed", "verdict"),
    [(0.9, 0, "holds"), (0.8, 0, "no difference seen"), (0.7, 0, "does not hold"), (0.9, 1, "does not hold")],
)
def test_a_changed_answer_or_less_accuracy_speaks_against_it(accuracy, changed, verdict):
    plan, found = Plan(), {}
    for seed in plan.seeds:
        noise = 0.001 * seed
        found[f"tuned-seed{seed}"] = {"accuracy": np.full(5, 0.8 + noise), "parameters": np.array(100.0)}
        for base in plan.bases:
            found[f"b{base:g}-seed{seed}"] = {
                "accuracy": np.full(5, accuracy + noise),
                "parameters": np.array(60.0),
                "changed": np.array(changed),
            }
    made = finding(found, plan)
    check(made)
    by_label = {row.label: row.ours for row in made.rows}
    assert by_label["b = 1: difference, points"] == pytest.approx(100 * (accuracy - 0.8))
    assert by_label["b = 0.9: parameters for each task, change in %"] == pytest.approx(-40)
    assert made.verdict == verdict
