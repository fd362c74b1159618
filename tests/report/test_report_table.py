"""The table for the terminal."""

import io

import pytest
from rich.console import Console

from polytask.report import render_table


@pytest.fixture
def shown():
    def show(runs) -> str:
        console = Console(file=io.StringIO(), width=80, color_system=None)
        render_table(runs, console)
        return console.file.getvalue()

    return show


def test_one_run(run_folder, shown):
    said = shown(run_folder("a"))
    assert "10 tasks at 100k steps per task" in said
    assert "button-press-topdown" in said
    assert "episodes" in said
    assert "mean" in said.splitlines()[-1]
    assert "1 seed" in said.splitlines()[-1]
    assert "0.92" in said.splitlines()[-1]


@pytest.mark.parametrize("count", [1, 50])
def test_fits_eighty_columns(run_folder, shown, specs, count):
    runs = [
        run_folder(f"s{i}", specs.metaworld([f"a-rather-long-task-name-{i}-v3" for i in range(count)]), seed=i)
        for i in range(2)
    ]
    lines = shown(runs).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("a-rather-long-task-name-" in line for line in lines) == count


def test_several_methods_side_by_side(run_folder, shown):
    said = shown([run_folder("a"), run_folder("b", kind="sac")])
    assert "A  agent.kind=brc (1 seed)" in said
    assert "B  agent.kind=sac (1 seed)" in said
    assert "mean of 10 tasks" in said


def test_names_are_not_taken_for_markup(run_folder, shown, specs):
    assert "[bold]x" in shown(run_folder("a", specs.gym(["[bold]x"])))


def test_returns_only(run_folder, shown, specs):
    said = shown(run_folder("a", specs.gym(["A-v0", "B-v0"])))
    assert "A-v0" in said
    assert "mean" not in said


def test_nothing_evaluated(run_folder, shown):
    assert "No evaluation has been recorded yet" in shown(run_folder("a", evaluations=0))
