"""A training of fleets from the command line to what it leaves: resumed to the bit, evaluated, solved with."""

import json
import shlex

import numpy as np
import pytest

import polytask
from polytask.cli import main
from polytask.fleets import check, make_fleet
from polytask.fleets.config import FleetConfig
from polytask.fleets.instance import unit

SMALL = shlex.split(
    "train fleets/u2-n6 --width 8 --depth 1 --batch-size 2 --samples 2 --pretrain 2 --intensive 2 --round 1 "
    "--instances 3 --eval-every 4 --checkpoint-every 4 --no-tensorboard --learning-rate 0.01"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("fleets") / "run"
    assert main([*SMALL, "--steps", "8", "--run", str(run)]) == 0
    return run


def test_a_run_is_a_run(run, capsys):
    lines = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8]
    assert len(lines[0]["task"]["score"]["fleets/u2-n6"]) == 3
    assert (run / "report.html").exists()
    assert main(["evaluate", str(run), "--episodes", "2"]) == 0
    assert "with 8 symmetries" in capsys.readouterr().out


def test_a_run_that_was_stopped_ends_with_the_same_bits(run, tmp_path, capsys):
    other = tmp_path / "other"
    assert main([*SMALL, "--steps", "4", "--run", str(other)]) == 0
    assert main(["resume", str(other), "--steps", "8"]) == 0
    assert main(["diff", str(run), str(other)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["bilevel", "single"])
def test_a_rollout_baseline_is_trained_against(tmp_path, policy):
    words = ["--steps", "4", "--baseline", "rollout", "--policy", policy, "--run", str(tmp_path / "run")]
    assert main([*SMALL, *words]) == 0


def test_what_was_learned_routes_other_sizes_in_other_units(run):
    policy = polytask.load(run)
    sites = np.random.default_rng(0).uniform(0, 100, (9, 2))
    fleet = make_fleet(sites, np.array([[50.0, 50.0]]), np.array([150.0, 200.0, 10.0]), 3, values=np.arange(9.0))
    for samples in (1, 2):
        (routes,) = policy.routes([fleet], samples=samples)
        assert check(fleet, routes).served > 0
    assert float(np.ptp(unit(fleet).sites, axis=0).max()) <= 1
    with pytest.raises(ValueError, match="at least 1"):
        policy.routes([fleet], samples=0)
    with pytest.raises(ValueError, match="rounds"):
        policy.routes([fleet], rounds=-1)


def test_a_fleet_is_solved_from_a_file(run, tmp_path, capsys):
    file, out, picture = tmp_path / "sites.csv", tmp_path / "routes.json", tmp_path / "routes.png"
    file.write_text("x,y\n0,1\n1,0\n1,1\n0.4,0.4\n")
    words = ["solve", "fleets", "--sites", str(file), "--vehicles", "2", "--range", "4", "--depot", "0,0"]
    assert main([*words, "--with", str(run), "--output", str(out), "--picture", str(picture)]) == 0
    assert json.loads(out.read_text())["served"] == 4
    assert picture.stat().st_size > 1000
    assert "4 of 4 sites" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--sites none.csv", "there is no file none.csv"),
        ("--sites u2", "names no fleet"),
        ("--sites u2-n5 --vehicles 3", "leave one of them out"),
        ("--sites u2-n5 --with gredy", "did you mean 'greedy'"),
        ("--sites u2-n5 --depot 1;2", "two numbers with a comma"),
    ],
)
def test_what_cannot_be_solved_says_why(words, says, capsys):
    assert main(["solve", "fleets", *words.split()]) == 2
    assert says in capsys.readouterr().err


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="lowest and the highest"):
        FleetConfig(ranges=(2.0, 1.0))
    with pytest.raises(ValueError, match="not for fleets"):
        FleetConfig(affinity_every=5)
    with pytest.raises(ValueError, match="one depot"):
        FleetConfig(policy="single", depots="each")
    with pytest.raises(ValueError, match="--samples"):
        FleetConfig(samples=1)
