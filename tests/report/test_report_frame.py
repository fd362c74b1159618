"""The numbers of runs as a tidy table, and the charts as figures of matplotlib."""

import csv

import numpy as np
import pytest

import polytask
from polytask.report.frame import COLUMNS, tidy, write_csv
from polytask.report.pictures import figures, write_figures
from polytask.runs.folder import RunFolder, RunFolderError

pytest.importorskip("pandas")


def test_a_row_is_one_number_and_differing_fields_are_columns(run_folder):
    a, b = run_folder("a", evaluations=2), run_folder("b", seed=1, kind="sac", evaluations=2)
    frame = polytask.results([a, b])
    assert tuple(frame.columns) == (*COLUMNS, "agent.kind")
    assert frame.groupby("run")["agent.kind"].unique().map(list).to_dict() == {"a": ["brc"], "b": ["sac"]}
    assert frame.groupby("run")["seed"].unique().map(list).to_dict() == {"a": [0], "b": [1]}
    scores = frame[(frame.run == "a") & (frame.metric == "score")].pivot(index="step", columns="task", values="value")
    assert scores.shape == (2, 10)
    last = RunFolder(a).read_evaluations()[-1]["task"]["score"]["metaworld/reach-v3"]
    assert scores.loc[100_000, "metaworld/reach-v3"] == pytest.approx(np.mean(last))


def test_one_run_has_no_differing_fields_and_training_is_asked_for(run_folder):
    run = run_folder("a", evaluations=1)
    assert tidy([run], training=False)[0] == COLUMNS
    metrics = {row["metric"] for row in tidy([run], training=True)[1]}
    assert "score" in metrics
    assert "training/steps_per_second" in metrics
    assert "training/seconds" not in {row["metric"] for row in tidy([run], training=False)[1]}


def test_runs_of_one_name_are_called_by_their_paths(run_folder):
    runs = [run_folder("a/run", evaluations=1), run_folder("b/run", seed=1, evaluations=1)]
    assert {row["run"] for row in tidy(runs, training=False)[1]} == set(map(str, runs))


def test_the_csv_file_holds_every_number(run_folder, tmp_path):
    run = run_folder("a", evaluations=1)
    with write_csv([run], tmp_path / "numbers.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(tidy([run], training=True)[1])
    assert list(lines[0]) == list(COLUMNS)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run to read"):
        polytask.results([])
    with pytest.raises(RunFolderError):
        polytask.results(tmp_path / "nowhere")


def test_figures_are_named_and_drawn_of_what_was_evaluated(run_folder, specs, tmp_path):
    runs = [
        run_folder(f"{kind}{seed}", specs.dmc(), seed=seed, evaluations=2, kind=kind)
        for kind in ("brc", "sac")
        for seed in (0, 1)
    ]
    found = figures(runs)
    assert set(found) == {"learning", "tasks", "scores"}
    assert found["learning"]._repr_png_().startswith(b"\x89PNG"), "a notebook shows it"
    (axes,) = found["learning"].axes
    labelled = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in labelled] == ["agent.kind=brc", "agent.kind=sac"]
    frame = polytask.results(runs[:2])
    mean = frame[(frame.metric == "score") & (frame.step == 100_000)]["value"].mean()
    assert labelled[0].get_ydata()[-1] == pytest.approx(mean)
    written = write_figures(runs[:1], tmp_path / "figures")
    assert {file.name for file in written} == {
        f"{n}.{s}" for n in ("learning", "tasks", "scores") for s in ("png", "svg")
    }
    assert all(file.stat().st_size > 2_000 for file in written)


def test_a_run_without_an_evaluation_has_no_figure(run_folder, tmp_path):
    run = run_folder("a", evaluations=0)
    assert figures(run) == {}
    with pytest.raises(ValueError, match="nothing to draw"):
        write_figures([run], tmp_path / "figures")
