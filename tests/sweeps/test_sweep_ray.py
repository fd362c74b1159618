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
from tests.supervised.small import OWN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),  # importing it would settle its ports
]

FLAGS = [OWN, "--steps", "1200", "--eval-every", "10", "--checkpoint-every", "100", "--batch-size", "16"]
TRAIN = [*FLAGS, "--trunk.width", "8", "--no-tensorboard"]


ALONE = """
import sys
from pathlib import Path
from polytask.sweeps.config import SweepConfig, trials
from polytask.sweeps.trial import train_trial

folder = Path(sys.argv[1])
for trial in trials(SweepConfig(" ".join(sys.argv[2:]), {"seed": ("0", "1")})):
    assert train_trial(trial.config, folder / trial.name, folder / f"{trial.name}.txt", 1) == "done"
"""


def start(folder):
    """Starts the sweep, or goes on with it, in a process of its own."""
    command = [sys.executable, "-m", "polytask", "sweep", *TRAIN, "--over", "seed=0,1", "--run", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def words(process):
    """The command line of a process; nothing of one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def workers(process):
    """The processes that train for a sweep."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [child for child in found if "ray::train_trial" in words(child)]


def wait_for(condition, process=None, seconds=300.0):
    """What `condition` gives as soon as it gives something, while the process runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (process is None or process.poll() is None):
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(process.stdout.read() if process and process.poll() is not None else "nothing happened")


def ended(family):
    """Whether all processes have ended."""
    return not any(map(words, family))  # one that nobody has taken notice of has no command line left


def listening(process):
    """The addresses on which a sweep's processes listen."""
    family = {process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))}
    found = psutil.net_connections("inet")
    return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN and one.pid in family}


def test_killed_workers_and_drivers_lose_nothing_and_nothing_listens_to_the_outside(tmp_path):
    token = Path.home() / ".ray"
    before = token.exists()
    folder = tmp_path / "sweep"
    process = start(folder)
    try:
        begun = wait_for(lambda: any(folder.glob("seed=0/checkpoints/step_*")) and workers(process), process)
        assert listening(process) <= {"127.0.0.1", "::ffff:127.0.0.1"}
        begun[0].kill()  # Ray begins it again, and it goes on from its checkpoint
        wait_for(lambda: [one for one in workers(process) if one not in begun], process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        wait_for(lambda: ended(family))
        process = start(folder)
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "best configurations" in said
    subprocess.run([sys.executable, "-c", ALONE, str(tmp_path), *TRAIN], check=True)
    for trial in trials(SweepConfig(" ".join(TRAIN), {"seed": ("0", "1")})):
        assert diff(tmp_path / trial.name, folder / trial.name) == []
    assert token.exists() == before
