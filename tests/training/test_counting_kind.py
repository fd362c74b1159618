"""What one file and an entry point get (examples/extension/counting.py): everything, by the command line."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import polytask
from polytask.runs import checkpoint
from polytask.training import kinds
from tests.small import command

SOURCE = (Path(__file__).parents[2] / "examples" / "extension" / "counting.py").read_text()
GOALS = ("counting/three", "counting/five")


@pytest.fixture(autouse=True)
def registered(install):
    install("counting_kind", SOURCE, "polytask.kinds", "counting = counting_kind:KIND")


def train(run, *more, goals=GOALS, report=False):
    return command("train", *goals, "--run", str(run), "--no-tensorboard", *more, report=report)


def lines(run, name="evaluations.jsonl"):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def test_it_trains_resumes_and_ends_with_the_bits_of_not_stopping(tmp_path):
    code, out, err = train(tmp_path / "a", "--steps", "20", report=True)
    assert (code, err) == (0, "")
    assert "counts to counting/three, counting/five" in out
    assert (tmp_path / "a" / "report.html").exists()
    assert train(tmp_path / "b", "--steps", "7")[0] == 0
    code, out, err = command("resume", str(tmp_path / "b"), "--steps", "20")
    assert (code, err) == (0, "")
    assert "going on from step 7" in out
    assert command("diff", str(tmp_path / "a"), str(tmp_path / "b"))[0] == 0
    code, _, err = command("resume", str(tmp_path / "b"), "--stride-length", "0.5")
    assert code == 2


def test_each_seed_is_a_run(tmp_path):
    code, _, err = train(tmp_path, "--seeds", "2")
    assert (code, err) == (0, "")
    assert train(tmp_path / "alone", "--seed", "1")[0] == 0
    assert command("diff", str(tmp_path / "seed1"), str(tmp_path / "alone"))[0] == 0
    assert command("diff", str(tmp_path / "seed0"), str(tmp_path / "alone"))[0] == 1


def test_it_is_evaluated_reported_and_loaded(tmp_path):
    assert train(tmp_path / "a")[0] == 0
    code, out, _ = command("evaluate", str(tmp_path / "a"))
    assert (code, "counted to" in out) == (0, True)
    assert json.loads((tmp_path / "a" / "evaluation.json").read_text()) == {"step": 20}
    code, out, err = command("report", str(tmp_path / "a"), "--out", str(tmp_path / "report.html"))
    assert (code, err) == (0, "")
    page = (tmp_path / "report.html").read_text()
    assert "counting/three" in page
    np.testing.assert_array_equal(
        kinds.load(tmp_path / "a"), checkpoint.read_arrays(checkpoint.find(tmp_path / "a").path)["counts"]
    )


def test_groups_affinity_and_resuming_them(tmp_path):
    assert train(tmp_path / "all", "--affinity", "every=5")[0] == 0
    assert command("affinity", str(tmp_path / "all"))[0] == 0
    assert command("group", str(tmp_path / "all"), "--alone", "0")[0] == 0
    (tmp_path / "groups.json").write_text(
        json.dumps({"groups": [{"tasks": [name], "serves": [name]} for name in GOALS]})
    )
    code, _, err = train(tmp_path / "grouped", "--groups", str(tmp_path / "groups.json"))
    assert (code, err) == (0, "")
    assert list(lines(tmp_path / "grouped")[-1]["task"]["score"]) == list(GOALS)
    code, _, err = command("resume", str(tmp_path / "grouped"), "--steps", "30")
    assert (code, err) == (0, "")
    assert lines(tmp_path / "grouped")[-1]["step"] == 30


def test_patience_ends_it_and_its_figures_hold_to_the_last_step(tmp_path):
    code, out, _ = train(
        tmp_path / "a", "--steps", "5000", "--patience", "3", "--stride-length", "1", "--eval-every", "10"
    )
    assert (code, "no better evaluation since step 10: stopped at 40" in out) == (0, True)
    last = lines(tmp_path / "a")[-1]
    assert (last["step"], last["stopped_at"]) == (5000, 40)
    assert checkpoint.find(tmp_path / "a").step == 40


def test_what_is_not_finite_is_not_saved(tmp_path):
    code, _, err = train(tmp_path / "a", goals=("counting/never",))
    assert (code, "the count is not finite" in err) == (1, True)
    assert not (tmp_path / "a" / "checkpoints").exists()
    code, _, err = train(tmp_path / "b", "--seed", "4", "--seeds", "2", goals=("counting/never",))
    assert (code, "seed 4: " in err) == (1, True)


def test_a_value_out_of_range_names_flag_and_range(tmp_path):
    code, _, err = train(tmp_path / "a", "--stride-length", "2")
    shown = " ".join(err.replace("│", " ").split())
    assert (code, "--stride-length must be above 0 and at most 1, not 2.0" in shown) == (2, True)
    assert not (tmp_path / "a").exists()


def test_it_begins_from_another_run(tmp_path):
    assert train(tmp_path / "first")[0] == 0
    code, out, err = train(
        tmp_path / "more", "--from", str(tmp_path / "first"), "--steps", "1", goals=(*GOALS, "counting/nine")
    )
    assert (code, err) == (0, "")
    assert "begins from" in out
    before, after = (kinds.load(tmp_path / name) for name in ("first", "more"))
    np.testing.assert_allclose(after[:2], before + 0.1 * (np.array([3.0, 5.0]) - before))
    assert after[2] == pytest.approx(0.9)
    session = json.loads((tmp_path / "more" / "provenance.json").read_text())["sessions"][-1]
    assert session["joined"] == ["counts"]


def test_a_kill_costs_no_bit(tmp_path):
    every = ["--eval-every", "100", "--checkpoint-every", "100", "--no-tensorboard"]
    arguments = [*GOALS, "--steps", "2000000", *every]
    run = tmp_path / "killed"
    child = subprocess.Popen(
        [sys.executable, "-m", "polytask", "train", *arguments, "--run", str(run)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.monotonic() + 300
    while not list(run.glob("checkpoints/step_*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stood = checkpoint.find(run).step
    assert command("resume", str(run), "--steps", str(stood + 150))[0] == 0
    whole = ["--steps", str(stood + 150), *every, "--run", str(tmp_path / "whole")]
    assert command("train", *GOALS, *whole)[0] == 0
    assert command("diff", str(run), str(tmp_path / "whole"))[0] == 0


def test_who_is_called_after_each_evaluation_sees_its_line_and_may_stop(tmp_path):
    asked = kinds.asked(GOALS).parse([*GOALS, "--steps", "20", "--eval-every", "5", "--no-tensorboard"])
    seen = []

    def on_evaluation(run, record):
        seen.append(record["step"])
        return record["step"] >= 10

    assert polytask.train(asked.config, tmp_path / "a", on_evaluation) is False
    assert (seen, lines(tmp_path / "a")[-1]["step"], checkpoint.find(tmp_path / "a").step) == ([5, 10], 10, 10)
    assert polytask.train(asked.config, tmp_path / "a", lambda run, record: seen.append(run)) is True
    assert seen[2:] == [tmp_path / "a"] * 2
    assert polytask.train(asked.config, tmp_path / "b") is True
    assert command("diff", str(tmp_path / "a"), str(tmp_path / "b"))[0] == 0


def test_it_trains_in_another_thread_than_the_main_one(tmp_path):
    asked = kinds.asked(GOALS).parse([*GOALS, "--no-tensorboard"])
    done = []
    thread = threading.Thread(target=lambda: done.append(polytask.train(asked.config, tmp_path / "a")))
    thread.start()
    thread.join()
    assert done == [True]
