"""One model for each group, reported as one run; what the test rows say of runs; and the problems' list."""

import json
import re

import numpy as np
import pytest

from polytask.supervised import load
from polytask.supervised.model import evaluate
from polytask.supervised.predictor import Predictor
from polytask.supervised.testing import measure, measure_run
from polytask.supervised.training import fresh_model
from polytask.training.groups import TaskGroup, joined
from tests.small import command
from tests.supervised.small import FAST, OWN, points

GROUPS = {
    "groups": [
        {"tasks": ["place", "corner"], "serves": ["corner", "place"]},
        {"tasks": ["far", "height", "place"], "serves": ["height", "far"]},
    ]
}


def record(step, **figures):
    return {"step": step, "seconds": 1.0, "best_step": step, "task": figures}


def test_a_group_that_has_stopped_keeps_its_figures():
    first, second = TaskGroup(("a", "b"), ("b",)), TaskGroup(("a",), ("a",))
    found = joined(
        {
            first: [record(10, loss={"a": 9.0, "b": 1.0}), record(20, loss={"a": 9.0, "b": 2.0})],
            second: [record(20, loss={"a": 3.0}), record(30, loss={"a": 4.0})],
        },
        ("a", "b"),
    )
    assert [(r["step"], r["task"]["loss"]) for r in found] == [(20, {"a": 3.0, "b": 2.0}), (30, {"a": 4.0, "b": 2.0})]


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grouped")
    (folder / "groups.json").write_text(json.dumps(GROUPS))
    arguments = ["--groups", str(folder / "groups.json"), "--affinity", "every=20", "--run", str(folder / "run")]
    arguments += ["--loss", "task-weighted", "--relevance", "corner=2"]
    return folder / "run", *command("train", OWN, *FAST, *arguments)


@pytest.mark.slow
def test_groups_are_trained_and_reported_as_one(grouped, monkeypatch):
    run, code, out, err = grouped
    assert (code, err) == (0, "")
    assert "group2  far, height, place" in out
    assert "4 tasks at 40 gradient steps" in out
    last = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
    assert list(last["task"]["score"]) == ["place", "far", "height", "corner"]
    for i, group in enumerate(GROUPS["groups"], 1):
        own = json.loads((run / f"group{i}" / "evaluations.jsonl").read_text().splitlines()[-1])
        for name in group["serves"]:
            assert last["task"]["loss"][name] == own["task"]["loss"][name]
    assert (run / "group1" / "affinity.jsonl").exists()
    code, out, _ = command("resume", str(run), "--steps", "50")
    assert (code, "at 50 gradient steps" in out) == (0, True)

    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("evaluate", str(run))
    assert code == 0
    assert max(map(len, out.splitlines()[:-1])) <= 80
    found = json.loads((run / "evaluation.json").read_text())["task"]
    last = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])["task"]
    for name in ("place", "far", "height", "corner"):
        assert found[name]["score"]["value"] == pytest.approx(last["score"][name], rel=1e-4)
        assert found[name]["loss"]["value"] == pytest.approx(last["loss"][name], rel=1e-4)
        assert found[name]["score"]["low"] < found[name]["score"]["value"] < found[name]["score"]["high"]
    assert load(run / "group2").tasks[0].name == "place"
    with pytest.raises(ValueError, match=r"the data of .* have changed"):
        measure_run(run, points(seed=1))
    code, _, err = command("evaluate", str(run), "--episodes", "3")
    assert (code, "leave --episodes" in err) == (2, True)


def test_groups_of_other_tasks_are_refused(tmp_path):
    (tmp_path / "groups.json").write_text(json.dumps(GROUPS))
    arguments = ["--groups", str(tmp_path / "groups.json"), "--tasks", "far", "--run", str(tmp_path / "run")]
    code, _, err = command("train", OWN, *FAST, *arguments)
    assert (code, "the groups serve corner, place, height, far" in err) == (2, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_intervals_are_over_the_test_rows():
    problem = points(noise=0.3)
    import jax

    from polytask.supervised import SupervisedConfig

    model = fresh_model(problem, SupervisedConfig(), jax.random.key(0))
    found = measure(Predictor(problem.tasks, model, (3,)), problem.test)
    expected = evaluate(problem.tasks, model, problem.test)
    np.testing.assert_allclose([t.loss.value for t in found], expected.loss, rtol=1e-5)
    np.testing.assert_allclose([t.score.value for t in found], expected.score, rtol=1e-4)
    assert [t.rows for t in found] == expected.rows.astype(int).tolist()
    assert [0 <= t.f1 <= 1 and 0 <= t.auc <= 1 for t in found] == [task.kind != "regression" for task in problem.tasks]
    for test in found:
        assert test.score.low <= test.score.value <= test.score.high
        assert test.loss.low < test.loss.value < test.loss.high


def test_the_list_of_problems(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("tasks", "problems")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"problems/multidigits +12 x 12 ", out)
    assert "6,000" in out
    code, out, _ = command("tasks", OWN)
    assert (code, "corner" in out) == (0, True)
