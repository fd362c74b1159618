"""Run folders from before runs said of what kind they are (tests/runs/old) are reported, evaluated and loaded."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from polytask.training import kinds
from tests.small import command

OLD = Path(__file__).parent / "old"
# What the version that wrote them printed of each.
SHOWN = {
    "online": ["Pendulum-v1              │     – │  -31.1", "MountainCarContinuous-v0 │     – │ -0.926"],
    "supervised": ["a1   │ 0.686 │     0.342", "mean │ 0.654"],
    "decisions": ["cubic, taskmet, diagonal │     1 │  -0.978 │    – │          2.27"],
}


@pytest.fixture(params=SHOWN)
def old(request, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shutil.copytree(OLD / request.param, tmp_path / request.param)
    return tmp_path / request.param


def test_the_table_is_what_it_was_and_a_report_is_written(old):
    code, out, err = command("report", str(old))
    assert (code, err) == (0, "")
    for line in SHOWN[old.name]:
        assert line in out
    assert (old / "report.html").stat().st_size > 10_000


def test_it_is_evaluated(old):
    code, _, err = command("evaluate", str(old))
    assert (code, err) == (0, "")
    assert (old / "evaluation.json").exists()


def test_it_is_loaded(old):
    found = kinds.load(old)
    if old.name == "online":
        assert found.act(np.zeros(3), "gym/Pendulum-v1").shape == (1,)
    elif old.name == "supervised":
        assert found.scales is None, "it was trained before there was standardising"
        assert len(found.tasks) == 6
    else:
        assert found.step == 20


def test_resuming_it_is_refused_with_a_clear_word(old):
    code, _, err = command("resume", str(old), "--steps", "100")
    assert code == 1
    assert "written by an older polytask" in err
    assert "not resumed" in err
