"""Trainings for decisions in run folders: resume is exact, seeds are runs, and nothing is lost where one fails."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.decisions import DecisionConfig, load, train
from polytask.decisions.case import resolved
from polytask.decisions.training import keys_of
from polytask.losses import predict
from polytask.runs.diff import diff
from polytask.runs.folder import RunFolderError
from polytask.runs.storage import StorageError
from polytask.training.trainer import SeedsStopped
from tests.decisions.small import loud_shops, shops
from tests.small import killed_at

CASE = shops()
CONFIG = DecisionConfig(problem="shops", eval_every=4, checkpoint_every=8, tensorboard=False)
TASKMET = dataclasses.replace(CONFIG, loss="taskmet", metric="diagonal", per_task=True)


def lines(run, name):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(CONFIG, CASE, {0: run})
    return run


def check_resume(config, whole, folder, monkeypatch):
    """Stopped by a smaller number of steps at first, and then by a kill between two checkpoints."""
    run = folder / "run"
    assert train(dataclasses.replace(config, steps=4), CASE, {0: run})
    killed_at(monkeypatch, 16)
    with pytest.raises(ZeroDivisionError):  # killed while it saves step 16: back to step 8
        train(config, CASE, {0: run})
    monkeypatch.undo()
    assert [row["step"] for row in lines(run, "metrics.jsonl")] == [4, 8, 12, 16]
    assert train(config, CASE, {0: run})
    assert diff(whole, run) == []
    clock = ("seconds", "time", "steps_per_second", "peak_memory_bytes")
    timeless = [
        [{key: value for key, value in row.items() if key not in clock} for row in lines(one, name)]
        for one in (whole, run)
        for name in ("metrics.jsonl", "evaluations.jsonl")
    ]
    assert timeless[:2] == timeless[2:]


def test_stopped_and_resumed_is_the_run_that_was_left_alone(whole, tmp_path, monkeypatch):
    check_resume(CONFIG, whole, tmp_path, monkeypatch)


def test_what_a_run_records(whole):
    logged, evaluated = lines(whole, "metrics.jsonl"), lines(whole, "evaluations.jsonl")
    assert [row["step"] for row in logged] == [row["step"] for row in evaluated] == [4, 8, 12, 16, 20]
    assert {"loss", "gradient", "parameter_norm"} <= logged[0].keys()
    last = evaluated[-1]
    assert last["task"]["rows"] == {"shops": 8}
    assert last["squared_error"].keys() == {"cheap", "dear"}
    np.testing.assert_allclose(
        np.mean(list(last["squared_error"].values())), last["task"]["squared_error"]["shops"], rtol=1e-5
    )
    quality = (last["objective"] - last["random"]) / (last["oracle"] - last["random"])
    np.testing.assert_allclose(quality, last["task"]["score"]["shops"], rtol=1e-5)
    config = json.loads((whole / "config.json").read_text())
    assert (config["steps"], config["learning_rate"], config["drawn"]["train"]) == (20, 0.05, 16)
    assert (whole / "provenance.json").exists()


def test_the_folder_is_enough_to_predict(whole):
    trained = load(whole, CASE)
    assert (trained.step, trained.metric) == (20, None)
    _, test = CASE.data(keys_of(0).data)
    error = jnp.square(predict(trained.predictor, test.x) - test.y).mean()
    np.testing.assert_allclose(
        error, lines(whole, "evaluations.jsonl")[-1]["task"]["squared_error"]["shops"], rtol=1e-4
    )


@pytest.mark.slow
def test_taskmet_resumes_exactly_and_its_metric_is_in_the_folder(tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    assert train(TASKMET, CASE, {0: whole})
    check_resume(TASKMET, whole, tmp_path, monkeypatch)
    assert {"task_loss", "inner_residual", "metric_trace"} <= lines(whole, "metrics.jsonl")[0].keys()
    metric = lines(whole, "evaluations.jsonl")[-1]["metric"]
    assert (metric["tasks"], metric["outputs"]) == (["cheap", "dear"], ["demand"])
    weights = np.exp(load(whole, CASE).metric.stacked.log_weights)
    np.testing.assert_allclose(weights, metric["weights"], rtol=1e-5)
    assert not np.allclose(weights, 1, rtol=1e-4)


def test_seeds_are_runs_like_any_other(tmp_path):
    runs, plain = {seed: tmp_path / f"seed{seed}" for seed in (0, 1)}, dataclasses.replace(CONFIG, steps=8)
    assert train(plain, CASE, runs)
    assert train(plain, CASE, {0: tmp_path / "alone"})
    alone, beside, other = (lines(run, "evaluations.jsonl") for run in (tmp_path / "alone", *runs.values()))
    np.testing.assert_allclose(alone[1]["task"]["score"]["shops"], beside[1]["task"]["score"]["shops"], rtol=1e-3)
    assert beside[1]["task"] != other[1]["task"]
    assert train(dataclasses.replace(plain, steps=12), CASE, {0: tmp_path / "alone"})
    with pytest.raises(StorageError, match=r"alone at 12, new at 0.*polytask resume"):
        train(plain, CASE, {0: tmp_path / "alone", 1: tmp_path / "new"})


def test_a_seed_that_fails_says_what_to_do_and_holds_up_no_other(tmp_path):
    case, odd = loud_shops(), next(seed for seed in range(8) if int(jax.random.bits(keys_of(seed).data)) % 2 == 1)
    even = next(seed for seed in range(8) if int(jax.random.bits(keys_of(seed).data)) % 2 == 0)
    runs = {even: tmp_path / "even", odd: tmp_path / "odd"}
    for _ in range(2):  # the second time from its checkpoint
        with pytest.raises(SeedsStopped, match=rf"seed {odd} stopped learning at step 1: .*--learning-rate"):
            train(CONFIG, case, runs)
    assert [row["step"] for row in lines(runs[even], "evaluations.jsonl")] == [4, 8, 12, 16, 20]
    assert [row["step"] for row in lines(runs[odd], "evaluations.jsonl")] == [4]


def test_other_data_and_other_settings_are_refused(whole):
    moved = dataclasses.replace(CASE, data=lambda key: CASE.data(jax.random.fold_in(key, 1)))
    with pytest.raises(RunFolderError, match=r"drawn\.sha256"):
        train(CONFIG, moved, {0: whole})
    with pytest.raises(RunFolderError, match=r"learning_rate: 0.05 in the run, 0.1 now"):
        train(dataclasses.replace(CONFIG, learning_rate=0.1), CASE, {0: whole})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "spo+", "metric": "input", "per_task": False}, "takes two-stage, dfl, dfl.mse, lodl, taskmet"),
        ({"steps": 10}, "no multiple of 4, .* --steps 8"),
        ({"eval_every": 3}, "--eval-every is a multiple of 2"),
    ],
)
def test_what_does_not_fit_says_what_does(changes, said):
    with pytest.raises(ValueError, match=said):
        resolved(CASE, dataclasses.replace(TASKMET, **changes))


def test_zeros_become_the_problems_numbers():
    config = resolved(CASE, DecisionConfig(problem="shops"))
    assert (config.steps, config.eval_every, config.learning_rate, config.temperature) == (20, 1, 0.05, 1.0)
    assert resolved(CASE, DecisionConfig(problem="shops", loss="taskmet", steps=400)).eval_every == 10
