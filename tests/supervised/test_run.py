"""Supervised run folders: resume is exact, and a folder is enough."""

import dataclasses
import json

import numpy as np
import pytest

from polytask.combine import make_combiner
from polytask.runs import checkpoint
from polytask.runs.diff import diff
from polytask.runs.folder import RunFolderError
from polytask.supervised import OptimiserConfig, TrainConfig, TrunkConfig, fit_seeds, load, train
from polytask.supervised.scaling import fit_scales, loss_units, standardised
from tests.small import killed_at
from tests.supervised.small import points

CONFIG = TrainConfig(
    problem="points",
    trunk=TrunkConfig(8, 1, dropout=0.1),
    optimiser=OptimiserConfig(learning_rate=0.02),
    combine="pcgrad",
    batch_size=16,
    steps=80,
    eval_every=10,
    checkpoint_every=30,
    tensorboard=False,
)
PROBLEM = points()


def lines(run, name):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(CONFIG, PROBLEM, run)
    return run


def test_two_runs_of_one_seed_are_identical_and_other_seeds_differ(whole, tmp_path):
    train(CONFIG, PROBLEM, tmp_path / "again")
    assert diff(whole, tmp_path / "again") == []
    train(dataclasses.replace(CONFIG, seed=1), PROBLEM, tmp_path / "other")
    assert diff(whole, tmp_path / "other") != []


def test_stopped_and_resumed_is_the_run_that_was_left_alone(whole, tmp_path, monkeypatch):
    """Stopped by Ctrl-C between two checkpoints, and by a smaller number of steps at first."""
    run = tmp_path / "run"
    assert train(dataclasses.replace(CONFIG, steps=20), PROBLEM, run)
    killed_at(monkeypatch, 60)
    with pytest.raises(ZeroDivisionError):  # killed while it saves step 60: back to step 30
        train(CONFIG, PROBLEM, run)
    monkeypatch.undo()
    assert train(CONFIG, PROBLEM, run)
    assert diff(whole, run) == []
    without_time = [
        [{key: row[key] for key in ("step", "task", "loss") if key in row} for row in lines(folder, name)]
        for folder in (whole, run)
        for name in ("metrics.jsonl", "evaluations.jsonl")
    ]
    assert without_time[:2] == without_time[2:]


@pytest.mark.slow
def test_a_run_gives_the_figures_of_fit(whole):
    scales = fit_scales(PROBLEM)
    found = fit_seeds(standardised(PROBLEM, scales), CONFIG, make_combiner("pcgrad"), [CONFIG.seed])
    last = lines(whole, "evaluations.jsonl")[-1]
    expected = found.test.loss[0] * loss_units(PROBLEM.tasks, scales)
    np.testing.assert_allclose(list(last["task"]["loss"].values()), expected, rtol=1e-3)
    assert last["best_step"] == int(found.best_step[0])


def test_what_a_run_records(whole):
    logged, evaluated = lines(whole, "metrics.jsonl"), lines(whole, "evaluations.jsonl")
    assert [row["step"] for row in logged] == [row["step"] for row in evaluated] == list(range(10, 81, 10))
    assert logged[-1]["task"].keys() == {"loss", "validation_loss", "weight"}
    assert logged[-1]["loss"] == pytest.approx(sum(logged[-1]["task"]["loss"].values()))
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert evaluated[-1]["task"]["rows"] == dict(zip(PROBLEM.names, PROBLEM.test.present.sum(0).tolist(), strict=True))
    config = json.loads((whole / "config.json").read_text())
    assert [spec["name"] for spec in config["specs"]] == list(PROBLEM.names)
    assert (config["data"]["input_shape"], config["data"]["train"]) == ([3], 72)
    assert [int(p.name[-9:]) for p in sorted((whole / "checkpoints").iterdir())] == [30, 60, 80]


@pytest.mark.slow
def test_patience_ends_a_run_early_and_its_figures_stand_to_the_end(tmp_path, capsys):
    config = dataclasses.replace(CONFIG, patience=2, steps=2_000, optimiser=OptimiserConfig(learning_rate=0.1))
    assert train(config, PROBLEM, tmp_path / "run")
    *_, before, last = lines(tmp_path / "run", "evaluations.jsonl")
    assert (last["step"], last["stopped_at"]) == (2_000, before["step"])
    assert before["step"] == before["best_step"] + 20 < 2_000
    assert last["task"] == before["task"]
    assert "no better evaluation since" in capsys.readouterr().out
    longer = dataclasses.replace(config, steps=3_000)
    assert train(longer, PROBLEM, tmp_path / "run"), "more steps do not wake what patience has ended"
    assert lines(tmp_path / "run", "evaluations.jsonl")[-1]["step"] == 3_000
    assert checkpoint.find(tmp_path / "run").step == before["step"]


def test_other_data_and_other_settings_are_refused(whole):
    with pytest.raises(RunFolderError, match=r"data\.sha256"):
        train(CONFIG, points(seed=1), whole)
    with pytest.raises(RunFolderError, match=r'combine: "pcgrad" in the run, "sum" now'):
        train(dataclasses.replace(CONFIG, combine="sum"), PROBLEM, whole)


def test_an_unknown_combiner_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="pcgrad"):
        train(dataclasses.replace(CONFIG, combine="pcgrat"), PROBLEM, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_and_names_the_task(tmp_path):
    loud = dataclasses.replace(
        PROBLEM,
        train=dataclasses.replace(
            PROBLEM.train,
            targets=(
                PROBLEM.train.targets[0],
                PROBLEM.train.targets[1],
                PROBLEM.train.targets[2] * 1e30,
                PROBLEM.train.targets[3],
            ),
        ),
    )
    with pytest.raises(FloatingPointError, match=r"diverged at step 1: .* of height is not finite; lower"):
        train(dataclasses.replace(CONFIG, standardise=False), loud, tmp_path / "run")


@pytest.mark.slow
def test_some_of_the_tasks(tmp_path):
    assert train(dataclasses.replace(CONFIG, tasks=("corner",), steps=10), PROBLEM, tmp_path / "run")
    assert lines(tmp_path / "run", "evaluations.jsonl")[-1]["task"]["score"].keys() == {"corner"}


def test_the_folder_is_enough_to_predict(whole):
    predictor = load(whole)
    inputs = np.asarray(PROBLEM.test.inputs)
    answers = predictor.predict(inputs)
    assert {name: a.shape for name, a in answers.items()} == {
        "place": (24, 2),
        "far": (24,),
        "height": (24,),
        "corner": (24, 4),
    }
    np.testing.assert_allclose(answers["corner"].sum(1), 1, rtol=1e-5)
    last = lines(whole, "evaluations.jsonl")[-1]["task"]["score"]
    there = np.asarray(PROBLEM.test.present)
    right = answers["corner"].argmax(1) == np.asarray(PROBLEM.test.targets[3][:, 0])
    assert right[there[:, 3]].mean() == pytest.approx(last["corner"])
    yes = (answers["far"] > 0.5) == (np.asarray(PROBLEM.test.targets[1])[:, 0, 0] > 0.5)
    assert yes.mean() == pytest.approx(last["far"])
    with pytest.raises(ValueError, match=r"inputs have shape \(24, 5\), not \(rows, 3\)"):
        predictor.predict(np.zeros((24, 5), np.float32))


def test_it_is_no_policy(whole):
    from polytask.policies.policy import load as load_policy

    with pytest.raises(RunFolderError, match=r"polytask\.supervised\.load"):
        load_policy(whole)
