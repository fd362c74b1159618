"""Statistics as named properties: agreement with brute force, degenerate inputs, and measured coverage."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, trim_mean

from polytask.evaluation.statistics import (
    Estimate,
    aggregate_curve,
    delta_m,
    interquartile_mean,
    probability_of_improvement,
    relative_change,
    stratified_bootstrap,
    task_mean,
    wilson_interval,
)

NAN = math.nan


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (3, 1), (3, 7), (5, 10), (4, 50)])
def test_iqm_is_scipys_trimmed_mean(shape):
    scores = rng().normal(size=shape)
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))


def test_iqm_with_missing_values_is_that_of_the_rest():
    scores = rng().normal(size=(4, 9))
    scores[0, 3] = scores[2, 5] = NAN
    scores[:, 7] = NAN
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores[~np.isnan(scores)], 0.25))


def test_statistics_work_on_batches():
    scores = rng().normal(size=(6, 3, 5))
    scores[2, 1, 1] = NAN
    for statistic in (interquartile_mean, task_mean):
        np.testing.assert_allclose(statistic(scores), [float(statistic(s)) for s in scores])


def test_iqm_ignores_outlying_tasks():
    scores = np.tile(np.linspace(0.4, 0.6, 8), (3, 1))
    spoiled = scores.copy()
    spoiled[:, 0], spoiled[:, -1] = -1e9, 1e9
    assert interquartile_mean(spoiled) == pytest.approx(interquartile_mean(scores), abs=0.02)


def test_task_mean_weighs_tasks_not_runs():
    assert task_mean(np.array([[1.0, 0.0], [1.0, NAN], [1.0, NAN]])) == pytest.approx(0.5)


def test_nothing_measured_is_nan_everywhere():
    empty = np.full((3, 4), NAN)
    assert np.isnan(interquartile_mean(empty))
    assert np.isnan(task_mean(empty))
    assert all(math.isnan(v) for v in stratified_bootstrap(empty, rng=rng()))


def test_bootstrap_agrees_with_all_resamples_of_a_small_case():
    scores = np.array([[0.1, 0.7], [0.4, 0.9], [0.5, 0.2]])
    per_task = [[np.mean(draw) for draw in itertools.product(scores[:, t], repeat=3)] for t in range(2)]
    exact = [np.mean(pair) for pair in itertools.product(*per_task)]
    low, high = np.quantile(exact, [0.025, 0.975])
    found = stratified_bootstrap(scores, task_mean, rng=rng(), resamples=40_000)
    assert found.value == pytest.approx(scores.mean())
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_bootstrap_agrees_with_a_plain_loop():
    scores, draws = rng(1).normal(size=(4, 6)), rng(7).random((300, 4, 6))
    loop = [trim_mean([scores[int(u[s, t] * 4), t] for s in range(4) for t in range(6)], 0.25) for u in draws]
    found = stratified_bootstrap(scores, rng=rng(7), resamples=300)
    np.testing.assert_allclose([found.low, found.high], np.quantile(loop, [0.025, 0.975]))


def test_the_generator_decides_everything():
    scores, state = rng(3).normal(size=(3, 5)), np.random.get_state()[1].copy()  # noqa: NPY002 - shows it is untouched
    first, again = (stratified_bootstrap(scores, rng=rng(5)) for _ in range(2))
    assert first == again
    assert first != stratified_bootstrap(scores, rng=rng(6))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_one_seed_has_no_interval():
    found = stratified_bootstrap(rng().normal(size=(1, 10)), rng=rng())
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.has_interval


def test_a_task_with_one_seed_takes_the_interval_away():
    scores = rng().normal(size=(3, 4))
    scores[1:, 2] = NAN
    assert not stratified_bootstrap(scores, rng=rng()).has_interval


def test_a_task_without_values_is_left_out():
    scores = rng().normal(size=(3, 4))
    with_gap = np.concatenate([scores, np.full((3, 1), NAN)], axis=1)
    assert stratified_bootstrap(with_gap, rng=rng()).value == stratified_bootstrap(scores, rng=rng()).value
    assert stratified_bootstrap(with_gap, rng=rng()).has_interval


def test_one_task_is_an_ordinary_bootstrap():
    found = stratified_bootstrap(np.array([[0.2], [0.4], [0.9]]), task_mean, rng=rng())
    assert found.low >= 0.2
    assert found.high <= 0.9
    assert found.low < found.value < found.high


def test_constant_scores_have_a_point_interval():
    assert stratified_bootstrap(np.full((3, 4), 0.25), rng=rng()) == Estimate(0.25, 0.25, 0.25)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e6])
def test_bootstrap_is_equivariant_under_scaling(factor):
    scores = rng().normal(size=(4, 6))
    plain, scaled = stratified_bootstrap(scores, rng=rng()), stratified_bootstrap(scores * factor, rng=rng())
    np.testing.assert_allclose(scaled, np.array(plain) * factor)


def test_curve_is_the_bootstrap_at_every_evaluation():
    scores = rng().normal(size=(3, 5, 4))
    curve = aggregate_curve(scores, rng=rng(2))
    for e in range(4):
        expected = stratified_bootstrap(scores[:, :, e], rng=rng(2))
        assert (curve.value[e], curve.low[e], curve.high[e]) == pytest.approx(tuple(expected))
    assert curve.has_interval


def test_curve_of_one_seed_has_no_band():
    curve = aggregate_curve(rng().normal(size=(1, 5, 4)), rng=rng())
    assert np.isfinite(curve.value).all()
    assert not curve.has_interval


@pytest.mark.parametrize(
    ("statistic", "seeds", "least"), [(task_mean, 3, 0.84), (task_mean, 10, 0.90), (interquartile_mean, 10, 0.88)]
)
def test_coverage_where_seeds_are_independent_within_tasks(statistic, seeds, least):
    tasks, repeats, generator = 10, 150, rng(11)
    centre = np.linspace(0.2, 0.9, tasks)
    truth = float(statistic(centre[None] + generator.normal(0, 0.15, (20_000, tasks))))
    inside = 0
    for _ in range(repeats):
        scores = centre + generator.normal(0, 0.15, (seeds, tasks))
        found = stratified_bootstrap(scores, statistic, rng=generator, resamples=250)
        inside += found.low <= truth <= found.high
    assert least <= inside / repeats <= 0.99


def test_improvement_agrees_with_counting_pairs():
    x, y = rng().integers(0, 4, (3, 5)).astype(float), rng(1).integers(0, 4, (4, 5)).astype(float)
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for t in range(5) for a in x[:, t] for b in y[:, t]]
    assert probability_of_improvement(x, y, rng=rng()).value == pytest.approx(np.mean(pairs))


def test_improvement_of_a_method_over_itself_is_a_half():
    scores = rng().normal(size=(5, 8))
    found = probability_of_improvement(scores, scores, rng=rng())
    assert found.value == pytest.approx(0.5)
    assert found.low < 0.5 < found.high


def test_improvement_is_antisymmetric_and_bounded():
    x, y = rng().normal(size=(3, 5)), rng(1).normal(0.5, 1, size=(3, 5))
    forth, back = probability_of_improvement(x, y, rng=rng()), probability_of_improvement(y, x, rng=rng())
    assert forth.value + back.value == pytest.approx(1.0)
    assert 0 <= forth.low <= forth.value <= forth.high <= 1
    assert probability_of_improvement(x + 100, y, rng=rng()) == Estimate(1.0, 1.0, 1.0)


def test_improvement_needs_two_seeds_on_both_sides_for_an_interval():
    found = probability_of_improvement(rng().normal(size=(1, 5)), rng().normal(size=(4, 5)), rng=rng())
    assert math.isfinite(found.value)
    assert not found.has_interval


def test_improvement_without_common_tasks_is_nan():
    x, y = np.array([[1.0, NAN], [1.0, NAN]]), np.array([[NAN, 1.0], [NAN, 1.0]])
    assert math.isnan(probability_of_improvement(x, y, rng=rng()).value)


def test_delta_m_by_hand():
    multi, single = np.array([1.1, 0.8]), np.array([1.0, 1.0])
    assert delta_m(multi, single) == pytest.approx(-0.05)
    assert delta_m(multi, single, np.array([True, False])) == pytest.approx(0.15)


def test_delta_m_keeps_its_sign_for_negative_returns():
    assert delta_m(np.array([-50.0]), np.array([-100.0])) == pytest.approx(0.5)
    assert delta_m(np.array([-200.0]), np.array([-100.0])) == pytest.approx(-1.0)


def test_delta_m_leaves_out_tasks_without_a_baseline():
    multi, single = np.array([0.5, 0.9, 1.2]), np.array([0.0, NAN, 1.0])
    np.testing.assert_allclose(relative_change(multi, single), [NAN, NAN, 0.2])
    assert delta_m(multi, single) == pytest.approx(0.2)
    assert math.isnan(delta_m(multi[:2], single[:2]))


def test_wilson_is_scipys_and_never_leaves_the_unit_interval():
    for successes, episodes in [(0, 10), (3, 10), (10, 10), (1, 1)]:
        expected = binomtest(successes, episodes).proportion_ci(method="wilson")
        found = wilson_interval(successes, episodes)
        assert found == pytest.approx((successes / episodes, expected.low, expected.high))
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_coverage():
    generator, episodes = rng(4), 20
    intervals = [wilson_interval(k, episodes) for k in range(episodes + 1)]
    for rate in (0.1, 0.5, 0.9):
        found = [intervals[k] for k in generator.binomial(episodes, rate, 400)]
        assert np.mean([f.low <= rate <= f.high for f in found]) >= 0.91


def test_wilson_without_episodes_and_with_impossible_counts():
    assert math.isnan(wilson_interval(0, 0).value)
    with pytest.raises(ValueError, match="expected 0 <= successes <= episodes"):
        wilson_interval(4, 3)
