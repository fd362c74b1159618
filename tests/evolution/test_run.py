"""An evolution in a run folder: nothing is forgotten, problems come and go, and stopping costs no bit."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from polytask import load
from polytask.cli import main
from polytask.supervised import HeadSpec, Rows, make_problem, split
from tests.small import command

pytestmark = pytest.mark.slow

IMAGES = np.random.default_rng(0).normal(size=(60, 3, 2)).astype(np.float32) + 2
ME = "tests.evolution.test_run"
BRIGHT, WHERE, SUM = (f"{ME}:{name}" for name in ("bright", "where", "total"))
FLAGS = ["--generations", "2", "--children", "2", "--child-steps", "8", "--batch-size", "8", "--no-tensorboard"]
SMALL = ["--width", "6", "--adapter-rank", "2"]


def problem(name, kind, labels, outputs=1, images=IMAGES):
    return make_problem(name, [HeadSpec(name, kind, outputs)], *split(Rows(images, {name: labels}), 0))


def bright():
    return problem("bright", "binary", IMAGES.mean((1, 2)) > 2)


def where():
    return problem("where", "classes", IMAGES.reshape(60, -1).argmax(1), 6)


def total():
    return problem("total", "regression", 100 * IMAGES.sum((1, 2)))


def evolve(run, *problems, more=()):
    return main(["evolve", *[f"problems/{name}" for name in problems], *FLAGS, *SMALL, "--run", str(run), *more])


def answers(run, name):
    found = load(run).predict(name, IMAGES)
    return hashlib.sha256(b"".join(answer.tobytes() for answer in found.values())).hexdigest()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    run = tmp_path_factory.mktemp("evolved") / "two"
    assert evolve(run, BRIGHT, WHERE) == 0
    return run


def test_problems_come_and_earlier_answers_keep_their_bits(two, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(two, run)
    before = {name: answers(run, name) for name in (BRIGHT, WHERE)}
    assert evolve(run, BRIGHT, WHERE, SUM, WHERE) == 0
    assert answers(run, BRIGHT) == before[BRIGHT]
    at_once = tmp_path / "at-once"
    assert evolve(at_once, BRIGHT, WHERE, SUM, WHERE) == 0
    assert {n: answers(run, n) for n in (BRIGHT, WHERE, SUM)} == {n: answers(at_once, n) for n in (BRIGHT, WHERE, SUM)}
    assert np.std(load(run).predict(SUM, IMAGES)["total"]) > 1
    assert main(["evaluate", str(run)]) == 0
    assert set(json.loads((run / "evaluation.json").read_text())["task"]) == {
        f"{BRIGHT}/bright",
        f"{WHERE}/where",
        f"{SUM}/total",
    }


def test_stopped_between_generations_it_goes_on_as_if_it_had_not(two, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(two, run)
    for folder in sorted((run / "checkpoints").iterdir())[-1:]:
        shutil.rmtree(folder)  # as a kill in the middle of the last generation leaves it
    assert main(["resume", str(run)]) == 0
    assert main(["diff", str(run), str(two)]) == 0


def test_a_problem_goes(two, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(two, run)
    before = answers(run, WHERE)
    assert (
        main(
            [
                "evolve",
                *[f"problems/{n}" for n in (BRIGHT, WHERE)],
                f"drop:problems/{BRIGHT}",
                f"problems/{SUM}",
                *FLAGS,
                *SMALL,
                "--run",
                str(run),
            ]
        )
        == 0
    )
    assert answers(run, WHERE) == before
    with pytest.raises(ValueError, match="there is no path for"):
        load(run).predict(BRIGHT, IMAGES)
    population = load(run).population
    assert all(BRIGHT not in component.locks for component in population.components.values())


def test_the_report_says_who_made_and_uses_what(two):
    page = (two / "report.html").read_text()
    assert 'id="components"' in page


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ((), "name the problems to evolve for"),
        (("drop:problems/x", "problems/y"), "x was not learned before"),
        ((f"problems/{BRIGHT}", f"drop:problems/{BRIGHT}"), "comes last"),
        ((f"problems/{WHERE}",), "name these first"),
    ],
)
def test_what_cannot_be_is_refused(problems, message, two):
    code, _, err = command("evolve", *problems, *FLAGS, *SMALL, "--run", str(two))
    assert (code, message in " ".join(err.replace("│", " ").split())) == (2, True)
