"""Training from logged data by the command: resume, seeds, evaluation, loading, report."""

import json

import numpy as np
import pytest

import polytask
from polytask.runs.diff import diff
from tests.offline.small import EVERY, SMALL, write_probes
from tests.small import asked, check_light_help, command


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_probes(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("offline") / "run"
    code, out, err = command("train", data, *SMALL["td3-bc"], *EVERY, "--run", str(folder), report=True)
    assert code == 0, err
    assert "thousandfold" in out
    return folder


def test_a_run_is_evaluated_in_the_simulators_that_its_sets_name(run):
    lines = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [40, 80]
    assert all(len(returns) == 2 for returns in lines[-1]["task"]["return"].values())
    assert (run / "report.html").exists()
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert set(metrics[-1]["task"]["critic_loss"]) == {f"gym/tests.learning.probes:{n}" for n in ("up", "thousandfold")}


def test_a_run_that_stopped_ends_with_the_bits_of_one_that_did_not(run, data, tmp_path):
    again = tmp_path / "again"
    flags = [*SMALL["td3-bc"], *EVERY]
    assert command("train", data, *flags, "--steps", "40", "--run", str(again))[0] == 0
    assert command("resume", str(again), "--steps", "80")[0] == 0
    assert diff(run, again) == []


def test_each_of_several_seeds_is_what_it_would_be_alone(run, data, tmp_path):
    code, _, err = command("train", data, *SMALL["td3-bc"], *EVERY, "--seeds", "2", "--run", str(tmp_path))
    assert code == 0, err
    assert diff(run, tmp_path / "seed0") == []
    assert diff(run, tmp_path / "seed1") != []
    ours, theirs = ((path / "evaluations.jsonl").read_text().splitlines() for path in (run, tmp_path / "seed0"))
    for one, other in zip(map(json.loads, ours), map(json.loads, theirs), strict=True):
        assert one["task"] == other["task"]


def test_the_policy_is_loaded_and_evaluated_like_any_other(run):
    policy = polytask.load(run)
    action = policy.act(np.zeros(1, np.float32), "gym/tests.learning.probes:up")
    assert action.shape == (1,)
    code, out, err = command("evaluate", str(run), "--episodes", "2")
    assert code == 0, err
    assert "2 episodes of each task" in out


def test_other_data_are_another_run(run, tmp_path):
    other = write_probes(tmp_path / "sets", ("up",))
    code, _, err = command("train", other, *SMALL["td3-bc"], *EVERY, "--run", str(run))
    assert code == 1
    assert "holds a run of another configuration" in err


def test_sets_without_a_simulator_are_learned_from_and_not_evaluated(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "own.npz",
        observations=rng.normal(size=(60, 3)),
        actions=rng.uniform(-1, 1, (60, 2)),
        rewards=rng.normal(size=60),
        terminals=np.arange(60) % 20 == 19,
        next_observations=rng.normal(size=(60, 3)),
    )
    arguments = ["train", f"data:{tmp_path / 'own.npz'}", *SMALL["td3-bc"], *EVERY, "--run", str(tmp_path / "run")]
    code, _, err = command(*arguments)
    assert code == 0, err
    assert (
        not (tmp_path / "run" / "evaluations.jsonl").exists()
        or not (tmp_path / "run" / "evaluations.jsonl").read_text()
    )
    code, _, err = command("evaluate", str(tmp_path / "run"))
    assert (code, "no simulator is known of data/own" in err) == (2, True)
    assert polytask.load(tmp_path / "run").act(np.zeros(3, np.float32), "data/own").shape == (2,)


def test_what_cannot_be_trained_is_answered_before_anything_is_read():
    with pytest.raises(ValueError, match="metaworld/reach-v3 is no data:FILE"):
        asked("data:x.npz", "metaworld/reach-v3")
    with pytest.raises(ValueError, match=r"there is no agent 'iqll': did you mean 'iql'"):
        asked("data:x.npz", "--agent.kind", "iqll")
    config, run = asked("data:sets/hopper.hdf5@gym/Hopper-v5", "--agent.kind", "iql", "--agent.expectile", "0.9")
    assert (config.agent.expectile, run.as_posix()) == (0.9, "runs/data-hopper-iql-seed0")
    code, _, err = command("train", "data:nothing.npz")
    assert (code, "polytask record RUN" in err) == (1, True)


def test_help_is_light():
    check_light_help("data:x", "--agent.alpha")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iql", "bcq", "brc-bc"])
def test_every_agent_from_data_trains_and_resumes_to_the_bit(kind, data, tmp_path):
    flags = ["--agent.kind", kind, *SMALL[kind], *EVERY]
    for name, stages in (("whole", ("80",)), ("parts", ("40", "80"))):
        for steps in stages:
            code, _, err = command("train", data, *flags, "--steps", steps, "--run", str(tmp_path / name))
            assert code == 0, err
    assert diff(tmp_path / "whole", tmp_path / "parts") == []
