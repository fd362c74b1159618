"""A task more for a trained run, in place."""

import json
import shutil

import numpy as np
import pytest

import polytask
from polytask.runs import checkpoint
from polytask.runs.diff import diff
from tests.small import PLANE, POINT, command
from tests.transfer.small import LINE, SPACE


@pytest.fixture
def run(trained_run, tmp_path):
    return shutil.copytree(trained_run, tmp_path / "run")


def test_old_tasks_keep_their_bits_and_their_actions(run, trained_run):
    code, out, err = command("extend", str(run), LINE)
    assert (code, err) == (0, "")
    assert f"added   {LINE} from step 120 on, beside 2 tasks that are as they were" in out
    before, after = (checkpoint.read_arrays(checkpoint.find(path).path) for path in (trained_run, run))
    for name, array in before.items():
        own = after[name]
        if name.startswith(("agent", "average", "restarts")) or name in ("bounds/low", "bounds/high", "episodes/score"):
            rows = own if own.shape == array.shape else own[:2]
            assert rows.tobytes() == array.tobytes(), name
    assert np.isinf(after["bounds/high"][2])
    assert not after["agent/critic_optimiser/0/mu/conditioning/table"][2].any()
    old, new = polytask.load(trained_run), polytask.load(run)
    seen = np.random.default_rng(0).normal(size=(5, 3))
    for task, width in ((POINT, 2), (PLANE, 3)):
        np.testing.assert_array_equal(old.act(seen[:, :width], task), new.act(seen[:, :width], task))
    assert new.act(seen[:, :2], LINE).shape == (5, 1)
    assert {d.name for d in diff(trained_run, run) if d.name.startswith("replay/rows")} == set()
    assert json.loads((run / "config.json").read_text())["joined"] == {LINE: 120}
    code, _, err = command("extend", str(run), LINE)
    assert (code, "is a task of" in err) == (2, True)


@pytest.mark.slow
def test_an_extended_run_goes_on_exactly_and_is_reported(run, tmp_path):
    assert command("extend", str(run), LINE)[0] == 0
    stopped = shutil.copytree(run, tmp_path / "stopped")
    assert command("resume", str(run), "--steps", "180", report=True)[0] == 0
    for steps in ("150", "180"):
        code, _, err = command("resume", str(stopped), "--steps", steps)
        assert (code, err) == (0, "")
    assert diff(run, stopped) == []
    after = checkpoint.read_arrays(checkpoint.find(run).path)
    assert np.isfinite(after["bounds/high"]).all()
    last = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()][-1]
    assert set(last["task"]["return"]) == {POINT, PLANE, LINE}
    assert "line" in (run / "report.html").read_text()


def test_a_kill_before_the_configuration_is_mended_by_the_same_command(run):
    config = (run / "config.json").read_bytes()
    assert command("extend", str(run), LINE)[0] == 0
    first = (run / "config.json").read_bytes()
    (run / "config.json").write_bytes(config)
    assert command("extend", str(run), LINE)[0] == 0
    assert (run / "config.json").read_bytes() == first


def test_what_does_not_fit_is_refused(run):
    before = (run / "config.json").read_bytes()
    for task, message in ((SPACE, "has 4 observations"), (POINT, "is a task of"), ("gym/none:none", "none")):
        code, _, err = command("extend", str(run), task)
        assert (code, message in err) == (2, True), err
    assert (run / "config.json").read_bytes() == before
