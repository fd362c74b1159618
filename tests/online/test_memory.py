"""A run that cannot fit says so before it starts, with what would fit."""

import dataclasses
import re
import subprocess
import sys

import psutil
import pytest

from polytask.online import memory as room
from polytask.online.config import preset
from polytask.online.memory import OTHERS, check_memory, needs
from polytask.runs.memory import peak_memory
from polytask.tasks.registry import resolve
from polytask.training.start import train

GB = 10**9
MT50 = resolve(["metaworld/mt50"])
LONG = dataclasses.replace(preset("cpu"), steps=2_000_000)


@pytest.fixture
def machine(monkeypatch):
    """Sets what memory and disk have left."""

    def has(memory: float, disk: float) -> None:
        monkeypatch.setattr(room, "available_memory", lambda: int(memory))
        usage = type("Usage", (), {"free": int(disk)})
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)

    return has


def test_a_full_replay_of_mt50_takes_less_than_nine_gigabytes():
    assert needs(LONG, MT50) == (50 * 1_000_000 * 177, 50 * 1_000_000 * 181)
    on_disk = dataclasses.replace(LONG, replay_storage="disk")
    assert needs(on_disk, MT50) == (50 * 1_000_000, 50 * 1_000_000 * (181 + 176))


def test_only_what_the_steps_fill_counts(machine, tmp_path):
    short = dataclasses.replace(LONG, steps=100_000)
    horizon = MT50.specs[0].horizon
    assert needs(short, MT50)[0] == 50 * (100_000 + 100_000 // horizon + 2) * 177
    machine(3 * GB, 100 * GB)
    check_memory(short, MT50, tmp_path)
    with pytest.raises(ValueError, match="memory"):
        check_memory(LONG, MT50, tmp_path)


@pytest.mark.parametrize("memory", [6 * GB, 9 * GB, 10 * GB])
@pytest.mark.parametrize("disk", [4 * GB, 15 * GB, 100 * GB])
def test_what_is_said_to_fit_fits(machine, tmp_path, memory, disk):
    machine(memory, disk)
    with pytest.raises(ValueError, match=r"the replay would take .* What fits: ") as caught:
        check_memory(LONG, MT50, tmp_path)
    said = str(caught.value).partition("What fits: ")[2]
    assert ("--replay-storage disk" in said) == (disk == 100 * GB)
    smaller = re.search(r"--replay-capacity (\d+)", said)
    assert smaller
    check_memory(dataclasses.replace(LONG, replay_capacity=int(smaller[1])), MT50, tmp_path)
    if disk == 100 * GB:
        check_memory(dataclasses.replace(LONG, replay_storage="disk"), MT50, tmp_path)


def test_the_rest_of_the_run_needs_memory_as_well(machine, tmp_path):
    needed = needs(LONG, MT50)[0]
    machine(needed + OTHERS, 100 * GB)
    check_memory(LONG, MT50, tmp_path)
    machine(needed + OTHERS - 1, 100 * GB)
    with pytest.raises(ValueError, match="memory"):
        check_memory(LONG, MT50, tmp_path)


def test_segments_that_a_resumed_run_has_written_are_not_needed_again(machine, tmp_path):
    needed = needs(LONG, MT50)[1]
    (tmp_path / "replay").mkdir()
    (tmp_path / "replay" / "steps_000000000_000000100.npz").write_bytes(bytes(1000))
    machine(100 * GB, needed - 1000)
    check_memory(LONG, MT50, tmp_path)
    machine(100 * GB, needed - 1001)
    with pytest.raises(ValueError, match="disk"):
        check_memory(LONG, MT50, tmp_path)


def test_it_is_said_before_anything_is_written(machine, tmp_path):
    machine(GB, GB)
    config = dataclasses.replace(LONG, tasks=("metaworld/mt50",))
    with pytest.raises(ValueError, match="What fits"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_available_memory_is_no_more_than_the_machine_s():
    assert 0 < room.available_memory() <= psutil.virtual_memory().total


def test_the_peak_counts_worker_processes():
    alone = peak_memory()
    code = "x = bytearray(50_000_000); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        worker.stdout.readline()
        assert peak_memory() > alone + 50_000_000
        worker.communicate(b"\n")
