"""One training as two processes: the numbers of one, one run folder; a process that is lost is told."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from polytask import hosts
from polytask.agents.mesh import make_mesh
from polytask.runs import checkpoint
from polytask.training.start import train
from tests.small import AGENT, POINT, asked

FLAGS = [POINT, *AGENT, "--warmup-steps", "20", "--checkpoint-every", "40", "--eval-every", "40", "--no-tensorboard"]
SHORT = [*FLAGS, "--eval-episodes", "1", "--replay-capacity", "100", "--steps", "40"]


def start(run, *more):
    """Two processes that train in the folder `run`."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    command = [sys.executable, "-m", "polytask", "train", *SHORT, "--run", str(run), "--mesh", "data=2", *more]
    of = {**os.environ, hosts.ADDRESS: address, "JAX_NUM_PROCESSES": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return [subprocess.Popen(command, env={**of, "JAX_PROCESS_ID": str(i)}, **pipes) for i in range(2)]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_write_one_run(tmp_path):
    config, _ = asked(*SHORT)
    assert train(config, tmp_path / "one")
    processes = start(tmp_path / "two")
    said = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "report" in said[0]
    assert "step 40/40" not in said[1]
    one, two = (checkpoint.read_arrays(checkpoint.latest(tmp_path / run).path) for run in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=2e-3, atol=1e-4, err_msg=name)
    assert [path.name for path in (tmp_path / "two" / "checkpoints").iterdir()] == ["step_000000040"]
    lines = (tmp_path / "two" / "evaluations.jsonl").read_text().splitlines()
    assert len(lines) == 1


@pytest.mark.slow
def test_a_process_that_is_lost_ends_the_training_with_a_message_and_a_checkpoint(tmp_path):
    run = tmp_path / "run"
    first, second = start(run, "--steps", "100000")
    while first.poll() is None and not any(run.glob("checkpoints/step_*")):
        time.sleep(0.1)
    second.kill()
    second.communicate()
    said, _ = first.communicate(timeout=200)
    assert first.returncode == 1, said
    assert "a process of this training was lost at step" in said
    assert "Start all processes again" in said
    assert checkpoint.latest(run) is not None


def test_alone_a_process_is_the_first_and_agrees_with_itself(tmp_path, monkeypatch):
    monkeypatch.delenv(hosts.ADDRESS, raising=False)
    config, _ = asked(*SHORT, "--mesh", "data=1")
    assert hosts.places(config, {3: tmp_path}) == {3: tmp_path}
    assert hosts.first()
    assert not hosts.several()
    assert hosts.any_of(True)
    assert not hosts.any_of(False)
    hosts.same("anything", 1)
    assert make_mesh("data=1") is not None


def test_errors_of_xla_mean_a_lost_process_only_where_there_are_several(monkeypatch):
    gone, own = ValueError("UNKNOWN: Gloo AllGather failed: Connection reset by peer"), ValueError("--steps is below 1")
    assert not hosts.lost(gone)
    monkeypatch.setattr(hosts, "_here", hosts._Here(0, 2))
    assert hosts.lost(gone)
    assert not hosts.lost(own)
