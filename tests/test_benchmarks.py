"""The scripts in benchmarks/ that nobody runs often enough to notice that they broke."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Imports a script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.mark.slow
def test_every_figure_of_an_accelerator_is_measured_on_a_cpu_too(tmp_path):
    words = [sys.executable, FOLDER / "accelerator.py", "--quick", "--minutes", "60", "--output", tmp_path / "found"]
    done = subprocess.run(words, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found").read_text())
    assert found["left_out"] == {}
    assert found["devices"] == ["cpu"]
    peaks = {row["precision"]: row["tflops"] for row in found["peak"]}
    assert peaks.keys() == {"float32", "tf32", "bfloat16"}
    assert [row["precision"] for row in found["update"]] == list(peaks)
    for row in found["update"]:
        assert 0 < row["best_ms"] <= row["median_ms"]
        assert row["compile_s"] > 0
        assert row["of_peak"] == pytest.approx(row["tflops"] / peaks[row["precision"]])
    (loop,) = found["loop"]
    assert 0 < loop["median_rate"] <= loop["best_rate"]
    assert 0 < sum(loop["share"].values()) <= 1
    assert [row["seeds"] for row in found["seeds"]] == [4]
    assert done.stdout.count("\n| 16 / 32 |") == 4


def test_what_has_no_time_or_fails_is_named_and_the_rest_goes_on(load, capsys):
    accelerator = load("accelerator")
    kept, rows = [], []

    def fails():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: too large\nmore")

    def measure(minutes):
        budget = accelerator.Budget(minutes, lambda: kept.append(len(rows)))
        budget.measure("update", "first", rows, fails, str)
        budget.measure("update", "second", rows, lambda: {"figure": 1}, str)
        return budget.left_out

    assert measure(0) == {"first": "no time", "second": "no time"}
    assert rows == kept == []
    assert measure(1) == {"first": "RESOURCE_EXHAUSTED: too large"}
    assert rows == [{"figure": 1}]
    assert kept == [0, 1]
    assert capsys.readouterr().out == "{'figure': 1}\n"
