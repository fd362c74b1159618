"""The diff of two checkpoints: only identical bits are identical."""

import io
import math
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from rich.console import Console

from polytask.replay.buffer import Replay
from polytask.runs import checkpoint, segments
from polytask.runs.diff import compare, diff, table

NAN = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)


def write(run: Path, state: dict, counters: dict | None = None, rewards: tuple = ((1.0, 2.0), (3.0,))) -> Path:
    refs = [segments.write_segment(run, i, i + 1, {"reward": np.array(part)}) for i, part in enumerate(rewards)]
    return checkpoint.save(run, 10, state, counters or {}, refs)


def test_identical_checkpoints_have_no_differences(tmp_path: Path) -> None:
    state = {"w": jnp.arange(3.0), "nan": np.array([np.nan, 1.0]), "none": np.zeros((0, 2))}
    write(tmp_path / "a", state, {"episodes": [1, math.nan], "timing": {"simulate": 1.0}})
    path = write(tmp_path / "b", state, {"episodes": [1, math.nan], "timing": {"simulate": 2.0}}, ((1.0,), (2.0, 3.0)))
    assert diff(tmp_path / "a", tmp_path / "b") == []
    assert diff(tmp_path / "a", path) == []
    assert "identical" in str(table([], tmp_path / "a", path))


def test_every_kind_of_difference_is_named(tmp_path: Path) -> None:
    a = {
        "same": np.ones(2),
        "shape": np.ones(2),
        "dtype": np.ones(2),
        "gone": np.ones(1),
        "value": np.array([1.0, 4.0]),
    }
    b = {
        "same": np.ones(2),
        "shape": np.ones(3),
        "dtype": np.ones(2, np.float32),
        "new": np.ones(1),
        "value": np.array([1.0, 5.0]),
    }
    write(tmp_path / "a", a, {"episodes": [1, 2], "old": 1, "text": "x"})
    write(tmp_path / "b", b, {"episodes": [1, 4], "text": "y", "empty": {}}, ((1.0, 2.0), (3.5,)))
    found = {d.name: d for d in diff(tmp_path / "a", tmp_path / "b")}
    assert {name: d.kind for name, d in found.items()} == {
        "counters/episodes/1": "value",
        "counters/old": "missing in b",
        "counters/text": "value",
        "counters/empty": "missing in a",
        "state/shape": "shape",
        "state/dtype": "dtype",
        "state/gone": "missing in b",
        "state/new": "missing in a",
        "state/value": "value",
        "replay/reward": "value",
    }
    assert found["counters/episodes/1"].max_absolute == 2
    assert (found["state/value"].count, found["state/value"].size) == (1, 2)
    assert (found["state/value"].max_absolute, found["state/value"].max_relative) == (1.0, 0.2)
    assert found["replay/reward"].max_absolute == 0.5


def test_the_step_and_a_longer_replay_are_differences(tmp_path: Path) -> None:
    write(tmp_path / "a", {})
    checkpoint.save(tmp_path / "b", 11, {}, {}, [segments.write_segment(tmp_path / "b", 0, 11, {"reward": np.ones(4)})])
    found = {d.name: d for d in diff(tmp_path / "a", tmp_path / "b")}
    assert (found["step"].a, found["step"].b) == ("10", "11")
    assert (found["replay/reward"].kind, found["replay/reward"].a) == ("shape", "float64[3]")


@pytest.mark.parametrize(
    ("a", "b", "absolute", "relative"),
    [
        (np.array([0.0], np.float32), np.array([-0.0], np.float32), 0.0, 0.0),
        (NAN[:1], NAN[1:], 0.0, 0.0),
        (np.array([np.nan], np.float32), np.array([1.0], np.float32), np.inf, np.inf),
        (np.array([np.inf], np.float32), np.array([-np.inf], np.float32), np.inf, np.inf),
        (np.array([0.0], np.float64), np.array([2.0], np.float64), 2.0, 1.0),
        (np.array([2**63 - 1], np.int64), np.array([-(2**63)], np.int64), 2.0**64 - 1, 2.0),
        (np.array([2**62], np.int64), np.array([2**62 + 1], np.int64), 1.0, 2.0**-62),
        (np.array([3], np.uint8), np.array([5], np.uint8), 2.0, 0.4),
        (np.array([True]), np.array([False]), 1.0, 1.0),
        (np.array([1], ml_dtypes.bfloat16), np.array([2], ml_dtypes.bfloat16), 1.0, 0.5),
        (np.array([3], np.complex64), np.array([4j], np.complex64), 5.0, 1.25),
    ],
)
def test_distances(a: np.ndarray, b: np.ndarray, absolute: float, relative: float) -> None:
    found = compare("x", a, b)
    assert found is not None
    assert (found.count, found.size) == (1, 1)
    assert found.max_absolute == pytest.approx(absolute)
    assert found.max_relative == pytest.approx(relative)


def fill(run: Path, saves: tuple[int, ...], wrong: float = 7.0) -> None:
    """Two tasks, 12 steps, episodes of 5 and 4 steps; a segment after each step of `saves`."""
    replay, refs, first = Replay(2, 3, 1, 100), [], 0
    replay.rows[:] = 0
    heads = replay.head.copy()
    for step in range(1, 13):
        row = np.arange(6.0).reshape(2, 3) + step
        replay.insert(
            row,
            np.ones((2, 1)),
            np.full(2, wrong if step == 7 else float(step)),
            np.array([step % 5 == 0, False]),
            np.array([False, step % 4 == 0]),
            row + 1,
            np.ones(2, bool),
        )
        if step in saves:
            refs.append(segments.write_segment(run, first, step, replay.since(heads)))
            heads, first = replay.head.copy(), step
    checkpoint.save(run, 12, {}, {}, refs)


def test_a_replay_is_compared_however_it_was_cut(tmp_path: Path) -> None:
    fill(tmp_path / "a", (12,))
    fill(tmp_path / "b", (3, 4, 10, 12))
    assert diff(tmp_path / "a", tmp_path / "b") == []
    fill(tmp_path / "c", (3, 4, 10, 12), wrong=0.5)
    found = diff(tmp_path / "a", tmp_path / "c")
    assert [(d.name, d.count, d.a, d.b) for d in found] == [
        ("replay/rows/0", 1, "7.0", "0.5"),
        ("replay/rows/1", 1, "7.0", "0.5"),
    ]


def test_a_damaged_newest_checkpoint_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a", {"w": np.ones(2)})
    write(tmp_path / "b", {"w": np.ones(2)})
    checkpoint.save(tmp_path / "b", 11, {}, {})
    segments.write_segment(tmp_path / "b", 0, 1, {"reward": np.array((1.0, 2.0))})
    segments.write_segment(tmp_path / "b", 1, 2, {"reward": np.array((3.0,))})
    (tmp_path / "b/checkpoints/step_000000011/arrays.npz").write_bytes(b"")
    warnings: list[str] = []
    assert diff(tmp_path / "a", tmp_path / "b", warnings.append) == []
    assert "step_000000011" in warnings[0]


def test_the_table_names_leaf_and_amount(tmp_path: Path) -> None:
    write(tmp_path / "a", {"critic": np.zeros((3, 2)), "n": 1})
    write(tmp_path / "b", {"critic": np.full((3, 2), 1e-7), "n": 2})
    console = Console(file=io.StringIO(), width=120)
    console.print(table(diff(tmp_path / "a", tmp_path / "b"), Path("a"), Path("b")))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "2 leaves differ: a = a, b = b" in text
    line = next(line for line in text.splitlines() if "state/critic" in line)
    assert "6/6" in line
    assert "1e-07" in line
