"""`polytask train problems/...`, used as a person would."""

import re
import shutil
import sys

import pytest

from tests.small import asked, check_light_help, command
from tests.supervised.small import FAST, OWN


def test_a_training_says_what_it_does_and_ends_with_a_table_and_a_report(trained_on_data):
    run, code, out, err = trained_on_data
    assert (code, err) == (0, "")
    for said in ("mgda, scale sum", "72 to train, 24 to validate, 24 to test, each 3", "40 (10 epochs)"):
        assert said in out
    assert re.search(r"corner +classes +accuracy +4 +5\d *\n", out), "about a quarter of 72 labels is missing"
    assert "4 tasks at 40 gradient steps" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith(("run", "report", "problem"))) <= 80
    assert (run / "report.html").exists()


def test_the_report_speaks_of_data(trained_on_data):
    page = (trained_on_data[0] / "report.html").read_text()
    seen = re.sub(r"<style>.*?</style>|<script>.*?</script>|<details>.*?</details>|<[^>]*>", " ", page, flags=re.S)
    for word in ("environment", "agent", "episode", "return", "replay", "restart", "steps per task", "embedding"):
        assert word not in seen.lower()
    for word in ("Test loss", "best on the validation rows", "gradient steps", "R²", "accuracy", "Weight of the task"):
        assert word.lower() in page.lower()


def test_resume_goes_on_and_the_same_command_finds_it_done(trained_on_data, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_on_data[0], run)
    code, out, _ = command("resume", str(run), "--steps", "60")
    assert (code, "going on from step 40" in out, "at 60 gradient steps" in out) == (0, True, True)


@pytest.mark.slow
def test_epochs_stand_for_steps(tmp_path):
    run = tmp_path / "run"
    arguments = ["--epochs", "3", *FAST[4:], "--tasks", "far", "--run", str(run)]
    code, out, err = command("train", OWN, *arguments)
    assert (code, err) == (0, "")
    assert "12 (3 epochs), evaluated every 4" in out
    assert "1 task at 12 gradient steps" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["problems/multidigit"], "did you mean 'problems/multidigits'"),
        (["problems/digit-attributes-41"], "digit-attributes has 2 to 40 heads, not 41"),
        (["problems/tests.supervised.small:nothing"], "has no function 'nothing'"),
        (["problems/no_such_module:make"], "no_such_module"),
        (["problems/tests.supervised.small:not_a_problem"], "returned int; return polytask.supervised.make_problem"),
        (["problems/tests.supervised.small:badly_shaped"], "task 'far': targets of train have shape (72, 2)"),
        ([OWN, "--combine", "pcgrat"], "pcgrad"),
        ([OWN, "--combine", "cagrad:d=1"], "its options are c"),
        ([OWN, "--combine", "dwa"], "dwa needs the option 'period', such as dwa:period=..."),
        ([OWN, "--tasks", "near"], "points has no task 'near'"),
        ([OWN, "--trunk.width", "0"], "--trunk.width must be at least 1"),
        ([OWN, "--patience", "2", "--eval-every", "0"], "leave one of them out"),
        ([OWN, "--trunk.widht", "3"], "--trunk.width"),
    ],
)
def test_what_cannot_be_is_answered_in_one_message(arguments, said, tmp_path):
    code, out, err = command("train", *arguments, "--run", str(tmp_path / "run"))
    assert code == 2
    assert said in out + err
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    from polytask.problems import digits

    digits.load.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    code, _, err = command("train", "problems/multidigits")
    digits.load.cache_clear()
    assert (code, "pip install -e '.[problems]'" in err) == (2, True)


def test_a_problem_has_settings_of_its_own():
    planted, folder = asked("problems/planted-clusters")
    assert (planted.trunk.width, planted.trunk.activation, planted.steps) == (4, "tanh", 1_500)
    assert asked("problems/multidigits", "--trunk.depth", "3")[0].trunk.depth == 3
    assert folder.as_posix() == "runs/planted-clusters-sum-seed0"
    some = asked("problems/digit-attributes-4", "--tasks", "even", "value", "--combine", "mgda", "--seed", "2")[1]
    own = asked("problems/digit-attributes-4", "--combine", "cagrad:c=0.4")[1]
    assert own.as_posix() == "runs/digit-attributes-4-cagrad-c-0.4-seed0"
    assert some.as_posix() == "runs/digit-attributes-4-even+value-mgda-seed2"


def test_help_is_light_and_fits_80_columns():
    check_light_help("problems/multidigits", "--combine-scale")
