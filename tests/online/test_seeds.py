"""Several seeds as one program."""

import json

import numpy as np
import pytest

from polytask.runs import checkpoint
from tests.small import AGENT, EVERY, PLANE, POINT, asked, command


def arrays(run):
    return checkpoint.read_arrays(checkpoint.latest(run).path)


def train(run, steps: int):
    code, out, err = command(
        "train", POINT, PLANE, *AGENT, *EVERY, "--seeds", "2", "--steps", str(steps), "--run", str(run)
    )
    assert (code, err) == (0, ""), err
    return out


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    run = tmp_path_factory.mktemp("seeds")
    return run, train(run, 120)


@pytest.mark.slow
def test_each_seed_is_a_run_that_learned_what_it_learns_alone(together, trained_run):
    run, out = together
    assert f"run     {run}/seed0\nrun     {run}/seed1" in out
    assert [json.loads((run / f"seed{n}" / "config.json").read_text())["seed"] for n in range(2)] == [0, 1]
    alone, first = arrays(trained_run), arrays(run / "seed0")
    assert alone.keys() == first.keys()
    for name, array in alone.items():
        if array.dtype == np.float32:
            np.testing.assert_allclose(first[name], array, rtol=2e-3, atol=2e-4, err_msg=name)
    second = arrays(run / "seed1")
    assert any((first[name] != second[name]).any() for name in first if "critic" in name)


@pytest.mark.slow
def test_going_on_gives_the_bits_of_not_stopping(together, tmp_path):
    train(tmp_path, 70)
    out = train(tmp_path, 120)
    assert "going on from step 70" in out
    for seed in ("seed0", "seed1"):
        stopped, through = arrays(tmp_path / seed), arrays(together[0] / seed)
        for name, array in through.items():
            np.testing.assert_array_equal(stopped[name], array, err_msg=name)


@pytest.mark.slow
def test_affinity_is_that_of_the_moment(tmp_path):
    flags = ["train", POINT, PLANE, *AGENT, *EVERY, "--steps", "60", "--affinity-every", "25"]  # no log falls on 25
    for more in (["--run", str(tmp_path / "alone")], ["--run", str(tmp_path), "--seeds", "2"]):
        assert command(*flags, *more)[0] == 0
    alone, together = (
        [json.loads(line) for line in (tmp_path / run / "affinity.jsonl").read_text().splitlines()]
        for run in ("alone", "seed0")
    )
    assert len(alone) == len(together) > 0
    for a, b in zip(alone, together, strict=True):
        assert (a["measure"], a["part"], a["count"]) == (b["measure"], b["part"], b["count"])
        np.testing.assert_allclose(np.array(b["matrix"], float), np.array(a["matrix"], float), rtol=2e-2, atol=2e-3)


@pytest.mark.slow
def test_seeds_that_stand_at_different_steps_are_named(together, tmp_path):
    train(tmp_path, 60)
    code, _, err = command("resume", str(tmp_path / "seed0"), "--steps", "300")
    assert (code, err) == (0, "")
    code, _, err = command(
        "train", POINT, PLANE, *AGENT, *EVERY, "--seeds", "2", "--steps", "300", "--run", str(tmp_path)
    )
    assert code == 1
    assert "seed0 at 300, seed1 at 60" in err


@pytest.mark.parametrize("count", ["0", "-1"])
def test_a_count_of_seeds_is_positive(count):
    code, _, err = command("train", POINT, "--seeds", count)
    assert code == 2
    assert "at least 1" in err


def test_seeds_are_no_part_of_a_configuration():
    assert asked(POINT, "--seeds", "3")[0] == asked(POINT)[0]
