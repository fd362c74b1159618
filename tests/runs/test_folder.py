"""The run folder: one run, one training at a time, logs that follow the checkpoint."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polytask.runs import storage
from polytask.runs.folder import RunFolder, RunFolderError, read_jsonl

CONFIG = {"tasks": ["gym/Pendulum-v1"], "agent": {"kind": "brc", "width": 256}, "steps": 10, "specs": [{"horizon": 5}]}


def changed(**fields: object) -> dict:
    return json.loads(json.dumps({**CONFIG, **fields}))


def test_a_new_folder_is_created_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "x"
    with RunFolder(path) as run:
        assert not run.exists
        assert run.claim(CONFIG) is False
        assert run.read_config() == CONFIG
    with RunFolder(path) as run:
        assert run.claim({**CONFIG, "tasks": ("gym/Pendulum-v1",)}) is True
    assert sorted(p.name for p in path.iterdir()) == ["config.json", "lock"]


def test_another_configuration_is_refused_field_by_field(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        run.claim(CONFIG)
    other = changed(agent={"kind": "sac", "width": 256, "depth": 2}, specs=[{"horizon": 7}], steps=20)
    with pytest.raises(RunFolderError) as caught:
        RunFolder(tmp_path).claim(other, {"steps"})
    message = str(caught.value)
    assert 'agent.kind: "brc" in the run, "sac" now' in message
    assert "agent.depth: not set in the run, 2 now" in message
    assert "specs.0.horizon: 5 in the run, 7 now" in message
    assert "steps:" not in message
    assert RunFolder(tmp_path).read_config() == CONFIG


def test_fields_that_may_change_are_taken_over(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        run.claim(CONFIG)
    other = changed(steps=20, agent={"kind": "brc", "width": 512})
    with RunFolder(tmp_path) as run:
        run.claim(other, {"steps", "agent"})
        assert run.read_config() == other


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match=r"thesis\.tex.*but no run"):
        RunFolder(tmp_path).claim(CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder(tmp_path).read_config()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunFolderError, match="not valid JSON"):
        RunFolder(tmp_path).read_config()


def test_two_trainings_cannot_share_a_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        run.claim(CONFIG)
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} on .*--run"):
            RunFolder(tmp_path).claim(CONFIG)
    with RunFolder(tmp_path) as run:
        run.claim(CONFIG)


def test_a_refused_claim_gives_the_lock_back(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        run.claim(CONFIG)
    with pytest.raises(RunFolderError):
        RunFolder(tmp_path).claim(changed(steps=20))
    with RunFolder(tmp_path) as run:
        run.claim(CONFIG)


HOLDER = """
import json, multiprocessing, sys, time
from polytask.runs.folder import RunFolder

RunFolder(sys.argv[1]).claim(json.loads(sys.argv[2]))
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
worker.start()
print(worker.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_the_lock_goes_with_a_killed_process_even_if_its_worker_lives_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), json.dumps(CONFIG)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        worker = int(holder.stdout.readline())
        try:
            with pytest.raises(RunFolderError, match=f"process {holder.pid} on"):
                RunFolder(tmp_path).claim(CONFIG)
            holder.kill()
            holder.wait()
            time.sleep(2)  # a forked worker lets go of the lock as soon as it runs, which a busy machine may delay
            with RunFolder(tmp_path) as run:
                assert run.claim(CONFIG) is True
        finally:
            holder.kill()
            os.kill(worker, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind root")
def test_a_read_only_folder_is_refused_before_training(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder(tmp_path).claim(CONFIG)


def test_a_read_only_disk_is_refused_before_training(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(tmp_path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a read-only disk needs root")
    try:
        for path in (tmp_path, tmp_path / "runs" / "x"):
            with pytest.raises(RunFolderError, match=r"cannot be written \(Read-only file system"):
                RunFolder(path).claim(CONFIG)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True, capture_output=True)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="Not a directory"):
        RunFolder(tmp_path / "file" / "run").claim(CONFIG)


def test_a_failed_write_keeps_the_old_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunFolder(tmp_path) as run:
        run.claim(CONFIG)

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_synced", full)
    with pytest.raises(RunFolderError, match="the disk is full"):
        RunFolder(tmp_path).claim(changed(steps=20), {"steps"})
    assert RunFolder(tmp_path).read_config() == CONFIG
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "lock"]


def test_logs_go_back_to_the_checkpoint(tmp_path: Path) -> None:
    lines = [{"step": step, "loss": 1 / 3} for step in (1000, 2000, 3000)]
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4000, "lo')
    run = RunFolder(tmp_path)
    assert run.read_metrics() == lines
    run.truncate_jsonl(2000)
    assert run.read_metrics() == run.read_evaluations() == lines[:2]
    assert (tmp_path / "metrics.jsonl").read_text().endswith("}\n")
    run.truncate_jsonl(-1)
    assert run.read_metrics() == []


def test_logs_that_do_not_exist_yet_are_empty(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.truncate_jsonl(0)
    assert run.read_metrics() == run.read_evaluations() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("torn", [b'{"step": 2', b'{"name": "\xc3', b"\0\0\0", b"7", b"\n"])
def test_only_the_last_line_may_be_torn(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1}\n' + torn)
    assert read_jsonl(file) == [{"step": 1}]
    file.write_bytes(b'{"step": 1}\n' + torn.rstrip() + b'\n{"step": 3}\n')
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl, line 2 is damaged"):
        read_jsonl(file)
