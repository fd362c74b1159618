"""The table of benchmarks/transfer.py, from folders as its runs leave them."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console


@pytest.fixture
def transfer(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    monkeypatch.delitem(sys.modules, "transfer", raising=False)
    import transfer

    return transfer


def write(run, tasks, means, forgotten=None):
    run.mkdir(parents=True)
    lines = [{"step": 100 * (i + 1), "task": {"score": dict.fromkeys(tasks, mean)}} for i, mean in enumerate(means)]
    (run / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if forgotten is not None:
        task = {"before": {"score": 0.9}, "after": {"score": 0.9 + forgotten}}
        (run / "forgotten.json").write_text(json.dumps({"task": {"old": task}}))


def test_steps_are_the_first_that_came_there_and_forgetting_is_told_with_and_without_keeping(transfer, tmp_path):
    new, old = transfer.named(transfer.SETS["two"]), transfer.named(transfer.SOURCE)
    assert len(old) == 8
    for seed in (0, 1):
        write(tmp_path / f"source-{seed}", old, [0.2, 0.8])
        write(tmp_path / "two" / f"scratch-{seed}", new, [0.1, 0.5 * seed, 0.6])
        write(tmp_path / "two" / f"full-{seed}", new, [0.6, 0.9, 0.9], forgotten=-0.5)
        write(tmp_path / "two" / f"keep-{seed}", [*old, *new], [0.9, 0.7, 0.9])
    console = Console(width=200, record=True)
    console.print(transfer.table(tmp_path, "two"))
    rows = {
        line.split()[1]: [cell.strip() for cell in line.split("│")]
        for line in console.export_text().splitlines()
        if "│" in line
    }
    assert rows["scratch"][2:6] == ["250 (200 to 300)", "–", "0.60 (0.60 to 0.60)", "–"]
    assert rows["full"][2:6] == [
        "100 (100 to 100)",
        "200 (200 to 200)",
        "0.90 (0.90 to 0.90)",
        "-0.50 (-0.50 to -0.50)",
    ]
    assert rows["keep"][5] == "0.10 (0.10 to 0.10)"
