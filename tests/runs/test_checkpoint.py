"""Checkpoints: what is saved comes back to the bit, and no accident leaves a run without an intact one."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from polytask.runs import checkpoint, segments, storage
from polytask.runs.checkpoint import CheckpointError

STATE = {
    "critic": [jnp.arange(6, dtype=jnp.float32).reshape(2, 3), jnp.full((2,), 0.1, jnp.bfloat16)],
    "file": jnp.uint32(7),
    "statistics": {"mean": np.array([1 / 3, np.nan]), "count": np.float64(1e300), "flags": np.array([True, False])},
    "empty": np.zeros((0, 4), np.int8),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.ones((), ml_dtypes.bfloat16),
    "activation": jax.nn.relu,
    "updates": 3,
    "temperature": 0.5,
    "nothing": None,
}


def small(step: int) -> dict[str, np.ndarray]:
    return {"w": np.full(1000, step, np.float32)}


def fail_on_write(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(path: Path, arrays: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(storage, "write_arrays", fail)


def test_every_kind_of_leaf_comes_back_as_it_was(tmp_path: Path) -> None:
    counters = {"episodes": [1, 2], "nested": {"x": 1 / 3}, "none": None}
    path = checkpoint.save(tmp_path, 25_000, STATE, counters)
    assert path == tmp_path / "checkpoints" / "step_000025000"
    state, restored = checkpoint.restore(path, STATE)
    assert restored == counters
    assert jax.tree.structure(state) == jax.tree.structure(STATE)
    for was, now in zip(jax.tree.leaves(STATE), jax.tree.leaves(state), strict=True):
        if callable(was):
            assert now is was
            continue
        assert isinstance(now, jax.Array) if isinstance(was, jax.Array) else type(now) is type(was)
        assert np.asarray(now).dtype == np.asarray(was).dtype
        assert np.asarray(now).shape == np.asarray(was).shape
        assert np.asarray(now).tobytes() == np.asarray(was).tobytes()


def test_shapes_alone_are_enough_to_restore_jax_arrays(tmp_path: Path) -> None:
    state = {"w": jnp.arange(3.0), "n": jnp.int32(2)}
    path = checkpoint.save(tmp_path, 1, state, {})
    restored, _ = checkpoint.restore(path, jax.eval_shape(lambda: state))
    assert isinstance(restored["w"], jax.Array)
    np.testing.assert_array_equal(restored["w"], state["w"])


def test_read_arrays_names_leaves_by_path(tmp_path: Path) -> None:
    arrays = checkpoint.read_arrays(checkpoint.save(tmp_path, 1, STATE, {}))
    assert {"critic/0", "critic/1", "file", "statistics/mean", "updates"} <= arrays.keys()
    assert arrays["critic/1"].dtype == ml_dtypes.bfloat16


def test_a_state_that_does_not_fit_is_named_leaf_by_leaf(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {"a": {"w": np.zeros((2, 3))}, "b": np.zeros(2), "c": 1}, {})
    like = {"a": {"w": np.zeros((4, 3))}, "b": np.zeros(2, np.float32), "d": 1}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.restore(path, like)
    for part in ("a/w: shape (2, 3) in the checkpoint, (4, 3) here", "b: dtype float64", "d: missing", "c: only in"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"k": jax.random.key(0)}, "k is a typed JAX key"),
        ({"o": np.array([object()])}, "o has dtype object"),
        ({"a/b": 1.0, "a": {"b": 2.0}}, "the path a/b"),
    ],
)
def test_what_cannot_be_saved_is_refused_by_name(tmp_path: Path, state: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        checkpoint.save(tmp_path, 1, state, {})
    assert not (tmp_path / "checkpoints").exists()


def test_counters_that_are_not_json_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path, 1, {}, {"x": {1, 2}})
    assert not (tmp_path / "checkpoints").exists()


def test_the_newest_three_are_kept_and_rubbish_goes(tmp_path: Path) -> None:
    rubbish = tmp_path / "checkpoints" / ".tmp-step_000000009"
    rubbish.mkdir(parents=True)
    (rubbish / "arrays.npz").write_bytes(b"half")
    for step in range(1, 6):
        checkpoint.save(tmp_path, step, small(step), {})
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step_000000003", "step_000000004", "step_000000005"]


def test_saving_an_earlier_step_removes_the_continuation_that_was_left(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, small(step), {})
    checkpoint.save(tmp_path, 2, small(20), {})
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 2
    assert checkpoint.read_arrays(found.path)["w"][0] == 20


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def newer_format(path: Path) -> None:
    path.write_text(json.dumps({"format": 99}))


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        ("arrays.npz", flip, "SHA-256"),
        ("arrays.npz", cut, "bytes"),
        ("arrays.npz", Path.unlink, "missing"),
        ("checkpoint.json", cut, "JSON"),
        ("checkpoint.json", Path.unlink, "missing"),
        ("checkpoint.json", newer_format, "format 99"),
        ("../../replay/steps_000000001_000000002.npz", flip, "replay segment"),
        ("../../replay/steps_000000001_000000002.npz", Path.unlink, "missing"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_with_its_name_and_the_reason(tmp_path, file, damage, reason) -> None:
    first = segments.write_segment(tmp_path, 0, 1, {"reward": np.ones(4)})
    checkpoint.save(tmp_path, 1, small(1), {}, [first])
    second = segments.write_segment(tmp_path, 1, 2, {"reward": np.ones(4)})
    newest = checkpoint.save(tmp_path, 2, small(2), {}, [first, second])
    damage((newest / file).resolve())
    warnings: list[str] = []
    found = checkpoint.latest(tmp_path, warnings.append)
    assert found is not None
    assert found.step == 1
    assert found.segments == (first,)
    assert len(warnings) == 1
    assert str(newest) in warnings[0]
    assert reason in warnings[0]


def test_a_changed_counter_is_noticed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, small(1), {"updates": 10})
    newest = checkpoint.save(tmp_path, 2, small(2), {"updates": 20})
    manifest = newest / "checkpoint.json"
    manifest.write_text(manifest.read_text().replace('"updates": 20', '"updates": 21'))
    with pytest.warns(UserWarning, match="SHA-256"):
        assert checkpoint.latest(tmp_path).step == 1  # pyright: ignore[reportOptionalMemberAccess]


def test_no_checkpoint_is_none_but_only_damaged_ones_are_an_error(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    flip(checkpoint.save(tmp_path, 1, small(1), {}) / "arrays.npz")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        checkpoint.latest(tmp_path, lambda _: None)


def test_find_takes_a_run_or_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checkpoint.save(tmp_path, 1, small(1), {})
    checkpoint.save(tmp_path, 2, small(2), {})
    assert checkpoint.find(tmp_path).step == 2
    assert checkpoint.find(first).step == 1
    monkeypatch.chdir(first)
    assert checkpoint.find(Path()).run == tmp_path
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.find(tmp_path / "elsewhere")


def test_segments_go_with_the_last_checkpoint_that_needs_them(tmp_path: Path) -> None:
    refs = []
    for step in range(1, 5):
        refs.append(segments.write_segment(tmp_path, step - 1, step, {"x": np.ones(2)}))
        checkpoint.save(tmp_path, step, small(step), {}, refs[-2:], keep=2)
    segments.write_segment(tmp_path, 4, 5, {"x": np.ones(2)})  # killed before its checkpoint
    checkpoint.save(tmp_path, 6, small(6), {}, refs[-1:], keep=2)
    assert sorted(path.name for path in (tmp_path / "replay").iterdir()) == [ref.name for ref in refs[-2:]]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "the disk is full.*3.9 KiB are needed.*free"), (errno.EROFS, "cannot be written")],
)
def test_a_failed_save_leaves_the_checkpoints_before_it_whole(tmp_path, monkeypatch, code, words) -> None:
    checkpoint.save(tmp_path, 1, small(1), {})
    with monkeypatch.context() as patch:
        fail_on_write(patch, code)
        with pytest.raises(CheckpointError, match=words):
            checkpoint.save(tmp_path, 2, small(2), {})
        with pytest.raises(segments.SegmentError, match=words):
            segments.write_segment(tmp_path, 1, 2, small(2))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000000001"]
    assert list((tmp_path / "replay").iterdir()) == []
    assert checkpoint.find(tmp_path).step == 1
    checkpoint.save(tmp_path, 2, small(2), {})
    assert checkpoint.find(tmp_path).step == 2


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    try:
        checkpoint.save(disk, 1, small(1), {})
        with pytest.raises(CheckpointError, match=r"about 400\.0 KiB are needed and 2..\.. KiB are free"):
            checkpoint.save(disk, 2, {"w": np.zeros(102_400, np.float32)}, {})
        assert checkpoint.find(disk).step == 1
        checkpoint.save(disk, 3, small(3), {})
    finally:
        subprocess.run(["umount", str(disk)], check=True, capture_output=True)


def test_an_interrupt_while_saving_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    def interrupt(path: Path, arrays: object) -> None:
        raise KeyboardInterrupt

    checkpoint.save(tmp_path, 1, small(1), {})
    monkeypatch.setattr(storage, "write_arrays", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, 2, small(2), {})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000000001"]


# Imports once; for every line with a step forks a writer that goes on from there, and says when it has died.
WRITERS = """
import os, sys
from pathlib import Path
import numpy as np
from polytask.runs import checkpoint, segments

def write(run, step):
    found = checkpoint.latest(run)
    refs = list(found.segments) if found else []
    while True:
        step += 1
        refs = [*refs[-3:], segments.write_segment(run, step - 1, step, {"x": np.full(20_000, step)})]
        checkpoint.save(run, step, {"w": np.full(200_000, step), "n": step}, {"step": step}, refs)

for line in sys.stdin:
    writer = os.fork()
    if not writer:
        write(Path(sys.argv[1]), int(line))
    print(writer, flush=True)
    os.waitpid(writer, 0)
    print("died", flush=True)
"""


@pytest.fixture
def writers(tmp_path):
    """The step that a writer goes on from goes in; its process, and later "died", come out."""
    command = [sys.executable, "-W", "ignore", "-c", WRITERS, tmp_path]  # JAX warns of forks
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield lambda step: print(step, file=process.stdin, flush=True), process.stdout.readline


def test_a_writer_killed_at_any_moment_leaves_an_intact_checkpoint(tmp_path: Path, writers) -> None:
    moments = random.Random(0)
    begin, said = writers
    step = 0
    for _ in range(6):
        begin(step)
        writer = int(said())
        while not any(int(path.name[5:]) > step for path in tmp_path.glob("checkpoints/step_*")):
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.15))
        os.kill(writer, signal.SIGKILL)
        assert said() == "died\n"
        found = checkpoint.latest(tmp_path, pytest.fail)
        assert found is not None
        assert found.step > step
        step = found.step
        state, counters = checkpoint.restore(found.path, {"w": np.zeros(200_000, int), "n": 0})
        assert counters == {"step": step}
        assert state["n"] == step
        assert (state["w"] == step).all()
        for ref in found.segments:
            steps = int(ref.name.removesuffix(".npz")[-9:])
            assert (segments.read_segment(tmp_path, ref)["x"] == steps).all()
