"""`polytask affinity`, `polytask group` and the section of the report, as people see them."""

import json

import pytest

from polytask.affinity.record import pool
from polytask.report import write_report
from polytask.report.affinity import heat_figure
from polytask.runs.affinity_log import read_affinity
from tests.affinity.runs import write_affinity
from tests.small import command


def names(count):
    return [f"metaworld/task-with-a-long-name-{i}-v3" for i in range(count)]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("count", [2, 10, 20, 50, 80])
def test_affinity_fits_80_columns(tmp_path, count):
    run = write_affinity(tmp_path, names(count))
    code, out, err = command("affinity", str(run))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("helps most") for line in lines)
    assert "of the critic" in out
    assert "conflicts in" in out
    if count < 80:
        assert sum("task-with-a-long" in line[:22] for line in lines) >= count
    else:
        assert "do not fit" in out


def test_signs_and_numbers(tmp_path):
    ten = command("affinity", str(write_affinity(tmp_path / "a", names(10))))[1]
    assert "in units of 1e-5" in ten
    many = command("affinity", str(write_affinity(tmp_path / "b", names(50))))[1]
    assert "# + helps, = - hurts" in many


def test_another_measure_part_and_end(tmp_path):
    run = write_affinity(tmp_path, names(4), parts=("critic", "actor"), effect="gain")
    out = command("affinity", str(run), "--measure", "cosine", "--part", "actor", "--until", "3000")[1]
    assert "cosine of the actor" in out
    assert "steps 0 to 3,000" in out
    assert "gain of the critic" in command("affinity", str(run))[1]
    assert command("affinity", str(run), "--measure", "curvature")[0] == 2


def test_group_writes_and_proves(tmp_path):
    run = write_affinity(tmp_path, names(9))
    code, out, _ = command("group", str(run), "--groups", "3")
    assert code == 0
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert "optimal: no allowed grouping scores more (branch and bound" in " ".join(out.split())
    assert "all together" in out
    found = json.loads((run / "groups.json").read_text())
    clusters = {tuple(sorted(names(9)[i::3])) for i in range(3)}
    assert {tuple(sorted(g["tasks"])) for g in found["groups"]} == clusters
    assert sorted(t for g in found["groups"] for t in g["serves"]) == sorted(found["tasks"])
    assert found["optimal"]
    assert found["baselines"]["each alone"] is None
    assert found["score"] > found["baselines"]["all together"]


def test_group_options(tmp_path):
    run, other = write_affinity(tmp_path / "run", names(6)), tmp_path / "mine.json"
    options = ["--no-overlap", "--alone", "0.1", "--groups", "6", "--output", str(other)]
    assert command("group", str(run), *options)[0] == 0
    found = json.loads(other.read_text())
    assert [g["tasks"] for g in found["groups"]] == [[n] for n in names(6)]  # each is best alone
    assert found["asked"] == {"groups": 6, "overlap": False, "budget": None, "alone": 0.1}
    assert not (run / "groups.json").exists()
    code, _, err = command("group", str(run), "--budget", "5")
    assert (code, "at least 6 places" in err) == (2, True)


def test_group_of_many_tasks_prints_its_gap(tmp_path):
    out = command("group", str(write_affinity(tmp_path, names(24))), "--groups", "3", "--no-overlap")[1]
    assert "(mixed-integer program" in " ".join(out.split())


def test_no_affinity_says_what_to_do(tmp_path):
    for name in ("affinity", "group"):
        code, _, err = command(name, str(tmp_path))
        assert (code, "train with affinity recorded" in err) == (1, True)


def test_report_has_the_section_where_it_was_measured(tmp_path):
    config = {"tasks": names(4), "specs": [{"name": n} for n in names(4)], "seed": 0}
    for seed in range(2):
        run = write_affinity(tmp_path / f"s{seed}", names(4), seed=seed, parts=("critic", "actor"))
        (run / "config.json").write_text(json.dumps({**config, "seed": seed}))
    runs = [tmp_path / "s0", tmp_path / "s1"]
    html = write_report(runs, tmp_path / "with.html").read_text()
    assert '<section id="affinity">' in html
    assert 'href="#affinity"' in html
    assert "helps" in html
    assert "How often the gradient of a task" in html
    for run in runs:
        (run / "affinity.jsonl").unlink()
    assert 'id="affinity"' not in write_report(runs, tmp_path / "without.html").read_text()


def test_figure(tmp_path):
    figure = heat_figure(pool(read_affinity(write_affinity(tmp_path, names(5)))[0], "transference"))
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert figure.axes[0].get_xlabel() == "what it does to"
