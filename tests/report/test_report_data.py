"""Reading run folders: whole, young, cut off and odd ones."""

import json

import numpy as np
import pytest

from polytask.report.data import read_run


def rewrite(path, change) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def test_a_whole_run_is_read_as_written(run_folder):
    folder = run_folder("a")
    run = read_run(folder)
    line = json.loads((folder / "evaluations.jsonl").read_text().splitlines()[-1])
    name = run.specs[3].name
    assert run.notes == ()
    assert run.evaluations.steps.tolist() == list(range(5_000, 100_001, 5_000))
    assert run.evaluations.success[-1, 3] == np.mean(line["task"]["success"][name])
    assert run.evaluations.returns[-1, 3] == pytest.approx(np.mean(line["task"]["return"][name]))
    np.testing.assert_array_equal(run.evaluations.scores, run.evaluations.success)
    assert run.evaluations.episodes[-1, 3] == 10
    assert run.evaluations.embedding is not None
    assert run.evaluations.embedding.shape == (10, 32)
    assert run.metrics.tasks["critic_loss"].shape == (50, 10)
    assert run.metrics.time["update"] == pytest.approx(3000.0)
    assert run.specs[0].shown["Actions"] == "4"


def test_returns_are_normalised_where_there_is_no_success(run_folder, specs):
    run = read_run(run_folder("a", specs.dmc()))
    np.testing.assert_allclose(run.evaluations.scores, run.evaluations.returns / 1000)
    assert np.isnan(run.evaluations.success).all()


def test_a_torn_last_line_is_left_out_and_said(run_folder):
    folder = run_folder("a")
    rewrite(folder / "evaluations.jsonl", lambda lines: [*lines[:-1], lines[-1][:40]])
    run = read_run(folder)
    assert run.evaluations.steps[-1] == 95_000
    assert "cut off" in run.notes[0]


def test_a_damaged_line_costs_only_itself(run_folder):
    folder = run_folder("a")
    rewrite(folder / "metrics.jsonl", lambda lines: [*lines[:4], "\x00\x00{]\n", '"text"\n', *lines[5:]])
    run = read_run(folder)
    assert run.metrics.steps.size == 49
    assert [note.split(" of ")[0] for note in run.notes] == ["line 5", "line 6"]


def test_after_a_resume_the_later_line_of_a_step_counts(run_folder):
    folder = run_folder("a")

    def resumed(lines):
        again = json.loads(lines[-2])
        again["critic_loss"] = 123.0
        return [*lines, json.dumps(again) + "\n"]

    rewrite(folder / "metrics.jsonl", resumed)
    run = read_run(folder)
    assert run.metrics.steps.size == 50
    assert run.metrics.values["critic_loss"][-2] == 123.0
    assert (np.diff(run.metrics.steps) > 0).all()


def test_any_key_may_be_missing_or_null(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"agent": None, "specs": None, "seed": None}))
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1}\n{"step": 2, "critic_loss": null, "task": null, "time": null}\n'
    )
    lines = [
        {"step": 1, "task": {"return": {"gym/a": [1.0, None]}, "success": None}, "embedding": None},
        {"step": 2, "task": None},
    ]
    (tmp_path / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = read_run(tmp_path)
    assert [s.name for s in run.specs] == ["gym/a"]
    np.testing.assert_array_equal(run.evaluations.returns, [[1.0], [np.nan]])
    assert np.isnan(run.seconds)


def test_a_young_run_is_read_with_notes(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    run = read_run(tmp_path)
    assert run.evaluations.steps.size == 0
    assert {"metrics.jsonl is missing", "evaluations.jsonl is missing"} <= set(run.notes)


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="is not a run folder"):
        read_run(tmp_path)
