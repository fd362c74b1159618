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


HEAD = {
    "cores": 2, "cpu": "a CPU", "devices": ["cpu"], "load": 0.5, "versions": {"jax": "1"},
    "task": "dmc/walker-walk", "steps": 3000, "every": 1000,
}  # fmt: skip


def write_cell(rivals, out, rival, seed, returns):
    """A cell that took a minute for every 1,000 steps, evaluated on two episodes."""
    file = rivals.path_of(out, rival, HEAD["task"], seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"step": 1000 * (i + 1), "seconds": 60.0 * (i + 1), "returns": [mean - 10, mean + 10]}
        for i, mean in enumerate(returns)
    ]
    head = {**HEAD, "rival": rival, "seed": seed}
    file.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))
    return file


def test_the_summary_says_when_a_return_was_first_reached_and_by_how_many_seeds(load, tmp_path, capsys):
    rivals = load("rivals")
    write_cell(rivals, tmp_path, "polytask-brc", 0, [100, 500, 1000])
    write_cell(rivals, tmp_path, "polytask-brc", 1, [600, 899, 400])
    write_cell(rivals, tmp_path, "sbx-sac", 0, [100, 499, 200])
    rivals.summary(tmp_path, tmp_path / "plot.png")
    printed = capsys.readouterr().out
    ours = "700 (400 to 1000) | 17 (17 to 17) | 1.5k (1k to 2k) | 1.5 (1 to 2) | 3k, 1 of 2 | 3, 1 of 2 | 2 |"
    assert f"| dmc/walker-walk | polytask-brc | {ours}" in printed
    assert "| dmc/walker-walk | sbx-sac | 200 | 17 | never | never | never | never | 1 |" in printed
    assert (
        "; 3000 steps, evaluated every 1000 on 10 episodes, which times leave out. 2 cores of a CPU (cpu); " in printed
    )
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_cell_that_is_there_is_not_made_again(load, tmp_path, monkeypatch, capsys):
    rivals = load("rivals")
    file = write_cell(rivals, tmp_path, "sbx-sac", 0, [1, 2, 3])
    before = file.read_bytes()
    asked = ["rivals", "run", "--out", str(tmp_path), "--python", "/no/such/python", "--rivals", "sbx-sac"]
    asked += ["--tasks", HEAD["task"], "--seeds", "0", "--every", "1000", "--steps"]
    monkeypatch.setattr(sys, "argv", [*asked, "3000"])
    rivals.main()
    assert "there already" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*asked, "4000"])
    with pytest.raises(SystemExit, match="is of --steps 3000 --every 1000"):
        rivals.main()
    assert file.read_bytes() == before
