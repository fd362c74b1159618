"""`polytask train problems/...` where a prediction feeds a decision, used as a person would."""

import json
import re
import shutil
import sys

import pytest

from polytask.problems import DECISIONS, is_decision, resolve_decision
from tests.small import asked, check_light_help, command

OWN = "problems/tests.decisions.small:shops"
FAST = ["--eval-every", "4", "--no-tensorboard"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("decisions") / "two-stage"
    return run, *command("train", OWN, *FAST, "--run", str(run), report=True)


def test_a_training_says_what_it_does_and_ends_with_a_table_and_a_report(trained):
    run, code, out, err = trained
    assert (code, err) == (0, "")
    for said in (
        "two-stage",
        "1 output of a row, from 3 features, by a linear predictor",
        "cheap, dear",
        "at 20 steps",
    ):
        assert said in out
    assert re.search(r"shops, two-stage +│ +1 │ +-?\d\.\d{3} ", out)
    assert max(len(line) for line in out.splitlines() if not line.startswith(("run", "report", "problem"))) <= 80
    page = (run / "report.html").read_text()
    assert "Decision quality of two-stage against its squared error" in page
    assert "learned metric" in page
    assert "The metric that" not in page, "it learned none"


@pytest.mark.slow
def test_taskmet_over_seeds_beside_squared_error(trained, tmp_path):
    folder = tmp_path / "taskmet"
    code, out, err = command(
        "train", OWN, "--loss", "taskmet", "--seeds", "2", *FAST, "--run", str(folder), report=True
    )
    assert (code, err) == (0, "")
    assert "20: 10 outer ones of 2 inner steps, which count as 2 each" in out
    assert (folder / "seed0-and-1-more.html").exists()
    runs = [folder / "seed0", folder / "seed1", trained[0]]
    code, out, err = command("report", *map(str, runs), "--out", str(tmp_path / "report.html"))
    assert (code, err) == (0, "")
    assert re.search(r"taskmet +│ +2 │", out)
    page = (tmp_path / "report.html").read_text()
    for title in ("shops: quality over error", "The metric that taskmet learned", "Inner residual over steps"):
        assert f'aria-label="{title}"' in page


def test_resume_goes_on(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    code, out, _ = command("resume", str(run), "--steps", "24")
    assert (code, "going on from step 20" in out, "at 24 steps" in out) == (0, True, True)


def test_evaluate_gives_the_last_figures_with_intervals(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    code, out, err = command("evaluate", str(run))
    assert (code, err) == (0, "")
    assert re.search(r"decision quality +-?\d\.\d{4} +-?\d\.\d{4} to -?\d\.\d{4}", out)
    found = json.loads((run / "evaluation.json").read_text())
    last = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
    pairs = {"decision": last["task"]["score"]["shops"], "squared_error": last["task"]["squared_error"]["shops"]}
    for name, value in (pairs | {key: last[key] for key in ("objective", "oracle", "random")}).items():
        assert found[name]["value"] == pytest.approx(value, rel=1e-5), name
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"], name
    assert found["decision"]["low"] < found["decision"]["high"]
    assert (found["step"], found["instances"]) == (20, last["task"]["rows"]["shops"])
    code, _, err = command("evaluate", str(run), "--episodes", "3")
    assert (code, "leave --episodes" in err) == (2, True)


def test_evaluate_refuses_other_data_than_the_run_s(trained, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    monkeypatch.setattr("polytask.decisions.testing.fingerprint", lambda data: "other")
    code, _, err = command("evaluate", str(run))
    assert (code, "have changed since" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["problems/newsvendr"], "did you mean 'problems/newsvendor'"),
        (["problems/newsvendor", "--loss", "spo+"], "it takes two-stage, dfl, dfl+mse, lodl, taskmet"),
        (["problems/cubic", "--loss", "likelihood"], "takes two-stage, dfl, dfl+mse, lodl, spo+, taskmet"),
        (["problems/multidigits", "--loss", "taskmet"], "takes likelihood, squared-error, task-weighted"),
        (["problems/cubic", "--per-task"], "leave them"),
        (["problems/cubic", "--loss", "taskmet", "--per-task"], "has one task"),
        ([OWN, "--seeds", "0"], "at least 1"),
        (["problems/tests.decisions.small:missing"], "has no function 'missing'"),
    ],
)
def test_what_cannot_be_is_answered_in_one_message(arguments, said, tmp_path):
    code, out, err = command("train", *arguments, "--run", str(tmp_path / "run"))
    assert (code, said in out + err) == (2, True), out + err
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    code, _, err = command("train", "problems/newsvendor", "--run", str(tmp_path / "run"))
    assert (code, "pip install -e '.[decisions]'" in err) == (2, True)
    assert not (tmp_path / "run").exists()


def test_every_problem_has_a_case_and_a_folder_of_its_own():
    for name in DECISIONS:
        assert is_decision(f"problems/{name}")
        assert "taskmet" in resolve_decision(name).losses
    folder = asked("problems/shortest-path", "--loss", "taskmet", "--metric", "diagonal", "--trace", "1")[1]
    assert folder.as_posix() == "runs/shortest-path-taskmet-diagonal-trace1-seed0"
    assert asked("problems/cubic", "--loss", "spo+")[1].as_posix() == "runs/cubic-spo+-seed0"


def test_help_is_light_and_fits_80_columns():
    check_light_help("problems/newsvendor", "--per-task")
