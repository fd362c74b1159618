"""Sweeps on Ray: the same bits as one run alone, whatever is killed."""

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from polytask.runs.diff import diff
from polytask.sweeps.config import SweepConfig, trials
from polytask.training.start import train
from tests.supervised.small import OWN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),  # importing it would settle its ports
]

FLAGS = [OWN, "--steps", "1200", "--eval-every", "10", "--checkpoint-every", "100", "--batch-size", "16"]
TRAIN = [*FLAGS, "--trunk.width", "8", "--no-tensorboard"]


def start(folder):
    """Starts the sweep, or goes on with it, in a process of its own."""
    command = [sys.executable, "-m", "polytask", "sweep", *TRAIN, "--over", "seed=0,1", "--run", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def workers(process):
    """The processes that train for a sweep."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [child for child in found if "ray::train_trial" in " ".join(child.cmdline())]


def wait_for(process, condition, seconds=300.0):
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(process.stdout.read() if process.poll() is not None else "nothing happened")


def listening(process):
    """The addresses on which a sweep's processes listen."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return {c.laddr.ip for one in family for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN}


def test_killed_workers_and_drivers_lose_nothing_and_nothing_listens_to_the_outside(tmp_path):
    token = Path.home() / ".ray"
    before = token.exists()
    folder = tmp_path / "sweep"
    process = start(folder)
    try:
        (worker, *_) = wait_for(process, lambda: any(folder.glob("seed=0/checkpoints/step_*")) and workers(process))
        assert listening(process) <= {"127.0.0.1", "::ffff:127.0.0.1"}
        worker.kill()  # Ray begins it again, and it goes on from its checkpoint
        wait_for(process, lambda: [one for one in workers(process) if one.pid != worker.pid])
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        psutil.wait_procs(family, timeout=30)
        assert not [one for one in family if one.is_running()]
        process = start(folder)
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "best configurations" in said
    for trial in trials(SweepConfig(" ".join(TRAIN), {"seed": ("0", "1")})):
        train(trial.config, tmp_path / trial.name)
        assert diff(tmp_path / trial.name, folder / trial.name) == []
    assert token.exists() == before
