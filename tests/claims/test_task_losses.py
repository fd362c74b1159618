"""The claims on losses that know the task: how numbers become a verdict, and what a broken-off run keeps."""

import numpy as np
import pytest

from polytask.claims import cubic, decisions, distractors
from polytask.claims.base import check
from polytask.claims.parts import Parts

SEEDS = 10


def of_cubic(**quality):
    """A made-up result of every way, of decision quality 0.957 and a rising line where nothing else is said."""
    found = {}
    for method, rate in cubic.WAYS:
        name = cubic.label(method, rate)
        values = np.full(SEEDS, quality.get(method, 0.957)) + 0.001 * np.arange(SEEDS)
        found[name] = {"quality": values, "error": np.full(SEEDS, 2.5), "slope": np.sign(values)}
    found["TaskMet"]["residual"] = np.ones((SEEDS, 4))
    return found


def test_cubic_holds_only_with_taskmet_up_mse_down_and_a_dfl_that_fails():
    assert cubic.verdict(of_cubic(mse=-0.96, dfl=0.4)) == "holds"
    assert cubic.verdict(of_cubic(mse=-0.96)) == "mixed"
    assert cubic.verdict(of_cubic(mse=-0.5, dfl=0.4)) == "does not hold"
    assert cubic.verdict(of_cubic(mse=-0.96, dfl=0.4, taskmet=0.9)) == "does not hold"


def test_cubic_needs_nine_of_ten_seeds():
    found = of_cubic(mse=-0.96, dfl=0.4)
    found["TaskMet"]["quality"][:1] = 0.94
    assert cubic.verdict(found) == "holds"
    found["TaskMet"]["quality"][:2] = 0.94
    assert cubic.verdict(found) == "does not hold"


def test_cubic_counts_the_flips_of_dfl():
    found = of_cubic(mse=-0.96)
    found["DFL, rate 0.01"]["slope"][:4] = -1
    assert any("DFL 10, DFL + MSE 10, DFL, rate 0.01 6" in remark for remark in cubic.remarks(found))


def of_distractors(gain, real):
    """Five seeds at 32 distractors; the metric has `real` of its weight on four dimensions."""
    weights = np.concatenate([np.full(4, real / 4), np.full(32, (1 - real) / 32)])
    common = {"weights": np.broadcast_to(weights, (5, 10, 36)), "residual": np.ones((5, 10))}
    returns = 200 + 5 * np.arange(5.0)[:, None] + np.zeros((5, 10))
    spread = gain * np.linspace(0.9, 1.1, 5)[:, None]
    return {("mle", 32): {"returns": returns, **common}, ("taskmet", 32): {"returns": returns + spread, **common}}


@pytest.mark.parametrize(
    ("gain", "real", "verdict"),
    [(50, 0.5, "holds"), (-50, 0.5, "does not hold"), (0, 0.5, "mixed"), (0, 0.1, "no difference seen")],
)
def test_distractors_are_judged_seed_by_seed(gain, real, verdict):
    said, found = distractors.judge(of_distractors(gain, real), (32,))
    assert found == verdict
    assert f"{real:.0%} of its weight" in said[1]


def of_decisions(gains):
    found = {}
    for problem, gain in gains.items():
        base = np.linspace(0.4, 0.6, 5)
        found[problem, "two-stage"] = {"quality": base}
        found[problem, "taskmet"] = {"quality": base + gain * np.linspace(0.9, 1.1, 5)}
    return found


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({"knapsack": 0.1, "newsvendor": 0.1}, "holds"),
        ({"knapsack": 0.1, "newsvendor": 0.0}, "mixed"),
        ({"knapsack": 0.1, "newsvendor": -0.1}, "mixed"),
        ({"knapsack": -0.1, "newsvendor": -0.1}, "does not hold"),
        ({"knapsack": 0.0, "newsvendor": 0.0}, "no difference seen"),
    ],
)
def test_decisions_are_judged_problem_by_problem(gains, verdict):
    assert decisions.judge(of_decisions(gains), tuple(gains))[1] == verdict


def test_a_whole_decisions_claim_is_sound(tmp_path, monkeypatch):
    def measure(problem, method, seeds, temperatures=None):
        shape = (len(temperatures), seeds) if temperatures else (seeds,)
        return {"quality": np.full(shape, 0.5), "error": np.linspace(1, 2, seeds) + np.zeros(shape)}

    monkeypatch.setattr(decisions, "measure", measure)
    monkeypatch.setattr(decisions, "PROBLEMS", ("knapsack", "newsvendor"))
    finding = decisions.run(True, tmp_path, lambda text: None)
    check(finding)
    assert finding.verdict == "no difference seen"
    assert sum("LODL" in row.label for row in finding.rows) == 2
    seeds = {row.label: row.seeds for row in finding.rows}
    assert seeds["knapsack: DFL"] == 10
    assert seeds["knapsack: DFL, temperature 10 (for 1)"] == 5
    assert finding.tables["knapsack"]["DFL by temperature"]["quality"].shape == (3, 5)


def test_spo_plus_stands_where_objectives_are_linear():
    assert "spo+" in decisions.methods_of("knapsack")
    assert "spo+" not in decisions.methods_of("portfolio")


def test_a_whole_cubic_claim_is_sound(tmp_path, monkeypatch):
    made = of_cubic(mse=-0.96, dfl=0.4)

    def measure(method, rate, seeds, steps, temperatures=()):
        own = made[cubic.label(method, rate)]
        if not temperatures:
            return own
        many = {key: np.stack([own[key]] * len(temperatures)) for key in ("quality", "error", "slope")}
        return {**many, "flat": np.tile([[True], [False], [False]], SEEDS)}

    monkeypatch.setattr(cubic, "measure", measure)
    finding = cubic.run(True, tmp_path, lambda text: None)
    check(finding)
    assert finding.verdict == "holds"
    assert f"DFL, seeds without any gradient from the start: {SEEDS} at 0.001." in finding.remarks
    assert any(row.label == "TaskMet, temperature 1 (for 0.01)" for row in finding.rows)
    assert not list(tmp_path.iterdir())  # a claim that is whole leaves no parts behind


def test_parts_are_kept_until_settings_change_and_refuse_what_is_not_finite(tmp_path):
    parts, made = Parts(tmp_path, "name"), []

    def make(value=1.0):
        made.append(value)
        return {"values": np.array([value])}

    assert parts.get("a", {"seeds": 2}, make)["values"] == parts.get("a", {"seeds": 2}, make)["values"]
    assert len(made) == 1
    parts.get("a", {"seeds": 3}, make)
    assert len(made) == 2
    with pytest.raises(ValueError, match="b: values is not finite"):
        parts.get("b", {}, lambda: make(np.nan))
    parts.clear()
    assert not list(tmp_path.iterdir())


def test_the_heat_map_is_logarithmic_and_white_at_one():
    from polytask.claims.drawing import draw
    from polytask.report.task_loss import draw_metric

    weights = np.array([[1.0, 4.0, 0.25], [2.0, 0.0, 1.0]])
    figure = draw(lambda axes: draw_metric(axes, weights, ["a", "b"], ["x", "v", ""], divide=2), 4, 2)
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(image.get_array()[0], [0, 2, -2])
    assert np.isfinite(image.get_array()).all()
    np.testing.assert_allclose(image.cmap(image.norm(0.0))[:3], 1, atol=0.01)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["x", "v"]
