"""Runs that grow: earlier tasks keep every bit, the source is only read, and what cannot be added is refused."""

import hashlib
import shutil

import numpy as np
import pytest

from polytask.cli import main
from polytask.supervised import HeadSpec, Rows, load, make_problem, split

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(40, 4, 4)).astype(np.float32) + 3
FLAGS = ["--incremental", "--steps", "8", "--eval-every", "4", "--batch-size", "8", "--no-tensorboard"]


def problem(name, kind, labels, outputs=1, images=IMAGES):
    return make_problem(name, [HeadSpec(name, kind, outputs)], *split(Rows(images, {name: labels}), 0))


def bright():
    return problem("bright", "binary", IMAGES.mean((1, 2)) > 3)


def corner():
    return problem("corner", "regression", 100 * IMAGES[:, 0, 0])


def brightest():
    return problem("brightest", "classes", IMAGES.reshape(40, -1).argmax(1) // 4, 4)


def larger():
    return problem("larger", "binary", np.arange(40) % 2, images=np.ones((40, 5, 4)))


def train(which, run, *more):
    return main(["train", f"problems/tests.supervised.test_incremental:{which}", *FLAGS, "--run", str(run), *more])


def folder_hash(run):
    files = sorted(file for file in run.rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def answers(run):
    return {name: hashlib.sha256(answer.tobytes()).hexdigest() for name, answer in load(run).predict(IMAGES).items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs, each standing on the one before, and the hashes of what each left."""
    folder = tmp_path_factory.mktemp("grown")
    first, second, third = (folder / name for name in ("first", "second", "third"))
    assert train("bright", first, "--trunk.width", "5", "--trunk.depth", "2") == 0
    kept = [folder_hash(first)]
    assert train("corner", second, "--from", str(first)) == 0
    assert train("brightest", third, "--from", str(second), "--optimiser.weight-decay", "0.1") == 0
    kept.append(folder_hash(first))
    return first, second, third, kept


def test_earlier_tasks_keep_every_bit(runs):
    first, second, third = map(answers, runs[:3])
    assert list(third) == ["bright", "corner", "brightest"]
    assert {name: third[name] for name in first} == first
    assert {name: third[name] for name in second} == second


def test_the_source_is_only_read(runs):
    before, after = runs[3]
    assert before == after


def test_a_new_task_learns_in_units_of_its_own(runs):
    assert np.std(load(runs[1]).predict(IMAGES)["corner"]) > 1


def test_it_is_resumed_without_its_source(runs, tmp_path):
    first, _, third, _ = runs
    copy, elsewhere = tmp_path / "third", tmp_path / "longer"
    shutil.copytree(third, copy)
    assert main(["resume", str(copy), "--steps", "12"]) == 0
    assert (
        train("brightest", elsewhere, "--from", str(runs[1]), "--optimiser.weight-decay", "0.1", "--steps", "12") == 0
    )
    assert answers(copy) == answers(elsewhere)
    assert answers(copy)["bright"] == answers(first)["bright"]


@pytest.mark.parametrize(
    ("which", "message"),
    [("bright", "already has the task bright"), ("larger", r"have shape \(5, 4\), those of")],
)
def test_what_cannot_be_added_is_refused(which, message, runs, tmp_path, capsys):
    assert train(which, tmp_path / "run", "--from", str(runs[1])) == 2
    assert message.replace("\\", "") in capsys.readouterr().err


def test_a_source_without_filters_is_refused(tmp_path, capsys):
    plain = ["train", "problems/tests.supervised.small:points", "--steps", "2", "--run", str(tmp_path / "plain")]
    assert main([*plain, "--no-tensorboard"]) == 0
    assert train("bright", tmp_path / "run", "--from", str(tmp_path / "plain")) == 2
    assert "no filters to share" in capsys.readouterr().err
