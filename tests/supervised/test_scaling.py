"""Standardised units: what is trained in them, and that nothing outside of a run can tell."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import make_combiner
from polytask.runs import checkpoint
from polytask.runs.diff import diff
from polytask.supervised import (
    HeadSpec,
    OptimiserConfig,
    Problem,
    Rows,
    TrainConfig,
    TrunkConfig,
    fit_subsets,
    load,
    make_problem,
    split,
    train,
)
from polytask.supervised.scaling import fit_scales, like, loss_units, scale_warnings, standardised
from polytask.supervised.testing import measure
from polytask.supervised.trainer import SupervisedTrainer
from polytask.training import kinds
from tests.supervised.small import rows as point_rows

CONFIG = TrainConfig(
    problem="points",
    trunk=TrunkConfig(8, 1),
    optimiser=OptimiserConfig(learning_rate=0.02),
    batch_size=16,
    steps=50,
    eval_every=20,
    checkpoint_every=100,
    tensorboard=False,
)
TASKS = (HeadSpec("place", "regression", 2), HeadSpec("far", "binary"), HeadSpec("height", "regression"))


def points(inputs: float = 1.0, height: float = 1.0, offset: float = 0.0) -> Problem:
    """72 rows to train, of which some lack their height; inputs and heights multiplied, and heights moved."""
    rows = point_rows(noise=0.1)
    targets = {name: np.asarray(rows.targets[name], np.float64) for name in ("place", "far", "height")}
    targets["height"] = targets["height"] * height + offset
    return make_problem("points", TASKS, *split(Rows(np.asarray(rows.inputs) * inputs, targets)))


def one(inputs, labels, outputs=1) -> Problem:
    """A problem of one regression, all of whose rows are the same in training, validation and test."""
    rows = Rows(np.asarray(inputs, np.float64), {"task": np.asarray(labels, np.float64)})
    return make_problem("one", [HeadSpec("task", "regression", outputs)], rows, rows, rows)


def lines(run, name):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    """The same run of the same points: as they are, and with inputs in millionths and heights in millions."""
    folder = tmp_path_factory.mktemp("scaled")
    for name, problem in (("plain", points()), ("far-off", points(1e-6, 1e6))):
        assert train(CONFIG, problem, folder / name)
    return folder / "plain", folder / "far-off"


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e12])
def test_standardised_rows_have_mean_0_and_deviation_1_whatever_their_scale(scale):
    problem = points(scale, scale, 3 * scale)
    found = standardised(problem, fit_scales(problem)).train
    np.testing.assert_allclose(np.asarray(found.inputs).mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.asarray(found.inputs).std(0), 1, rtol=1e-5)
    there = np.asarray(found.present[:, 2])
    height = np.asarray(found.targets[2])[:, 0, 0]
    assert 0 < there.sum() < 72, "the test wants labels that are missing"
    np.testing.assert_allclose([height[there].mean(), height[there].std()], [0, 1], atol=1e-5)
    assert not height[~there].any(), "what is missing stays zero"
    np.testing.assert_array_equal(found.targets[1], problem.train.targets[1])  # answers are not scaled


def test_only_training_rows_with_a_label_count():
    problem = points()
    elsewhere = dataclasses.replace(problem, validation=problem.test, test=problem.validation)
    assert_equal(fit_scales(problem), fit_scales(elsewhere))
    lacking = dataclasses.replace(problem.train, present=problem.train.present.at[40:].set(False))
    cut = dataclasses.replace(problem, train=lacking)
    np.testing.assert_allclose(fit_scales(cut).input_mean, np.asarray(problem.train.inputs)[:40].mean(0), rtol=1e-5)


def test_what_is_standardised_already_stays():
    problem = points()
    once = standardised(problem, fit_scales(problem))
    again = fit_scales(once)
    np.testing.assert_allclose(again.input_mean, 0, atol=1e-6)
    np.testing.assert_allclose(again.output_mean, 0, atol=1e-6)
    for scale in (again.input_scale, again.output_scale):
        np.testing.assert_allclose(scale, 1, rtol=1e-6)


def test_constants_and_single_rows_have_scale_1():
    constant = fit_scales(one([[5e6, 1], [5e6, 2]], [3e9, 3e9]))
    np.testing.assert_allclose(constant.input_scale, [1, 0.5])
    assert (constant.output_mean[0], constant.output_scale[0]) == (3e9, 1)
    rounding = fit_scales(one([[0.1], [0.1 + 1e-9], [0.1 + 7e-9]], [1, 2, 3]))
    assert rounding.input_scale[0] == 1, "the rounding of float32 is no spread"
    problem = one([[7e11, -7e-12]], [4e11])
    single = standardised(problem, fit_scales(problem))
    assert not single.train.inputs.any()
    assert not single.train.targets[0].any()


def test_the_outputs_of_a_task_share_a_scale_and_rows_of_more_dimensions_share_all():
    scales = fit_scales(one(np.arange(24.0).reshape(2, 3, 4), [[1, 10], [3, 40]], outputs=2))
    assert scales.input_mean.shape == scales.input_scale.shape == ()
    assert scales.input_scale == pytest.approx(np.arange(24).std())
    np.testing.assert_allclose(scales.output_mean, [2, 25])
    np.testing.assert_allclose(scales.output_scale, np.sqrt((1 + 15**2) / 2))
    tasks = (HeadSpec("task", "regression", 2),)
    assert loss_units(tasks, scales) == pytest.approx([113])
    found = like(tasks, (3, 4))
    assert [x.shape for x in (found.input_mean, found.output_mean)] == [(), (2,)]
    np.testing.assert_array_equal(found.inputs(jnp.ones((2, 3, 4))), 1)


@pytest.mark.slow
def test_twenty_tasks_of_different_scales_reach_what_each_reaches_alone():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(300, 8)) * np.geomspace(1e-3, 1e3, 8)
    names = [f"task{i}" for i in range(20)]
    signal = np.tanh(inputs / np.geomspace(1e-3, 1e3, 8) @ rng.normal(size=(8, 20)) / 3)
    labels = signal * np.geomspace(1e-2, 1e2, 20) + np.geomspace(1e2, 1e-2, 20)
    tasks = [HeadSpec(name, "regression") for name in names]
    problem = make_problem("scales", tasks, *split(Rows(inputs, dict(zip(names, labels.T, strict=True)))))
    config = dataclasses.replace(CONFIG, trunk=TrunkConfig(64, 1), batch_size=60, steps=200, eval_every=40)
    combiner, masks = make_combiner("sum"), jnp.concatenate([jnp.eye(20, dtype=bool), jnp.ones((1, 20), bool)])
    found = fit_subsets(standardised(problem, fit_scales(problem)), config, combiner, 0, masks).test.score
    alone, together = np.diagonal(found[:20]), np.asarray(found[20])
    assert alone.min() > 0.8
    assert together.min() > alone.min() - 0.1
    assert (together > alone - 0.1).all()
    as_it_stands = fit_subsets(problem, config, combiner, 0, masks).test.score[20]
    assert as_it_stands.min() < -10, "without, small tasks are lost: else this test shows nothing"


def test_units_change_neither_scores_nor_standardised_losses(scaled):
    plain, other = (lines(run, "evaluations.jsonl")[-1] for run in scaled)
    for figure in ("score", "validation_score", "train_score"):
        assert other["task"][figure] == pytest.approx(plain["task"][figure], rel=1e-2)
    for figure in ("loss", "validation_loss", "train_loss"):
        assert other["task"][figure]["height"] == pytest.approx(1e12 * plain["task"][figure]["height"], rel=1e-2)
        assert other["task"][figure]["place"] == pytest.approx(plain["task"][figure]["place"], rel=1e-2)
    first, second = (lines(run, "metrics.jsonl")[-1]["task"]["loss"] for run in scaled)
    assert second == pytest.approx(first, rel=1e-2)


def test_predictions_are_in_units_of_the_data(scaled):
    inputs = np.asarray(points().test.inputs)
    plain, other = load(scaled[0]).predict(inputs), load(scaled[1]).predict(inputs * np.float32(1e-6))
    np.testing.assert_allclose(other["height"], 1e6 * plain["height"], rtol=1e-2, atol=2e3)
    np.testing.assert_allclose(other["far"], plain["far"], rtol=1e-2, atol=1e-3)


def test_evaluations_are_those_of_the_predictions(scaled):
    """Score and loss by hand from predictions and labels, and as `polytask evaluate` has them."""
    problem = points(1e-6, 1e6)
    predictor, last = load(scaled[1]), lines(scaled[1], "evaluations.jsonl")[-1]["task"]
    there = np.asarray(problem.test.present[:, 2])
    labels = np.asarray(problem.test.targets[2], np.float64)[there, 0, 0]
    errors = predictor.predict(np.asarray(problem.test.inputs))["height"][there] - labels
    assert last["loss"]["height"] == pytest.approx(np.square(errors).mean(), rel=1e-3)
    assert last["score"]["height"] == pytest.approx(1 - np.square(errors).mean() / labels.var(), rel=1e-3)
    for test in measure(predictor, problem.test):
        assert test.loss.value == pytest.approx(last["loss"][test.task.name], rel=1e-3)
        assert test.score.value == pytest.approx(last["score"][test.task.name], rel=1e-3)


def test_a_run_ends_with_an_evaluation_and_a_longer_one_goes_on_as_if_asked_for_at_once(scaled, tmp_path):
    """50 steps, evaluated every 20; the scales come from the checkpoint."""
    plain = scaled[0]
    for file in ("metrics.jsonl", "evaluations.jsonl"):
        assert [line["step"] for line in lines(plain, file)] == [20, 40, 50]
    assert checkpoint.find(plain).step == 50
    longer = dataclasses.replace(CONFIG, steps=60)
    train(CONFIG, points(), tmp_path / "resumed")
    assert diff(plain, tmp_path / "resumed") == []
    assert train(CONFIG, points(), tmp_path / "resumed"), "once more changes nothing"
    assert diff(plain, tmp_path / "resumed") == []
    assert train(longer, points(), tmp_path / "resumed")
    assert train(longer, points(), tmp_path / "at once")
    assert diff(tmp_path / "at once", tmp_path / "resumed") == []
    for name in ("at once", "resumed"):
        assert [line["step"] for line in lines(tmp_path / name, "evaluations.jsonl")] == [20, 40, 60]


def test_scales_come_from_the_checkpoint(scaled, monkeypatch):
    expected = SupervisedTrainer(CONFIG, points(), (0,)).scales
    monkeypatch.setattr("polytask.supervised.trainer.fit_scales", lambda problem: like(problem.tasks, (3,)))
    trainer = SupervisedTrainer(CONFIG, points(), (0,))
    trainer.start([checkpoint.find(scaled[0])], print)
    assert_equal(trainer.scales, expected)
    assert_equal(load(scaled[0]).scales, expected)
    np.testing.assert_allclose(trainer.problem.train.inputs.std(0), 1, rtol=1e-5)


def test_a_run_that_is_never_evaluated_keeps_its_last_parameters_and_its_warnings_are_shown(tmp_path, capsys):
    config = dataclasses.replace(CONFIG, eval_every=0, steps=40, checkpoint_every=20, standardise=False)
    assert train(config, points(height=1e4), tmp_path / "run")
    logged = lines(tmp_path / "run", "metrics.jsonl")
    assert [line["step"] for line in logged] == [20, 40]
    assert "validation_loss" not in logged[-1]
    assert lines(tmp_path / "run", "evaluations.jsonl") == []
    arrays = checkpoint.read_arrays(checkpoint.find(tmp_path / "run").path)
    assert not any("scales" in name for name in arrays), "there is nothing to keep"
    for name in arrays:
        if "/best/" in name:
            np.testing.assert_array_equal(arrays[name], arrays[name.replace("/best/", "/params/")])
    assert load(tmp_path / "run").scales is None
    assert "warning: labels of place have deviation" in " ".join(capsys.readouterr().out.split())


def test_runs_from_before_were_not_standardised(scaled):
    content = json.loads((scaled[0] / "config.json").read_text())
    assert kinds.config_of(content).standardise
    del content["standardise"]
    assert not kinds.completed(content)["standardise"]
    assert not kinds.config_of(content).standardise


def test_warnings_name_what_is_wrong_and_what_mends_it():
    assert scale_warnings(points(), True) == scale_warnings(points(height=60), False) == []
    assert scale_warnings(points(height=1e4), True) == []
    (text,) = scale_warnings(points(height=1e4), False)
    assert "labels of place have deviation" in text
    assert "those of height" in text
    assert "--standardise" in text
    (text,) = scale_warnings(points(height=1e-4), False)
    assert "labels of height have deviation" in text
    inputs = np.concatenate([np.arange(3.0)[:, None], np.full((3, 12), 7.0)], axis=1)
    (text,) = scale_warnings(one(inputs, [1, 2, 3]), True)
    assert text.startswith("12 of 13 input columns are constant in the training rows")
    assert "1, 2, 3, 4, 5, 6, 7, 8, ..." in text
    assert scale_warnings(one(inputs[:1], [1]), False) == [], "one row is no ground to judge on"
    assert scale_warnings(one(np.ones((3, 2, 2)), [1, 2, 3]), True) == []


def assert_equal(a, b):
    for name in ("input_mean", "input_scale", "output_mean", "output_scale"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
