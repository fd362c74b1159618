"""Replay segments: written once, verified when read."""

import ml_dtypes
import numpy as np
import pytest

from polytask.runs import segments
from polytask.runs.segments import SegmentError, SegmentRef


def test_a_segment_comes_back_to_the_bit(tmp_path) -> None:
    arrays = {
        "file": np.array([[1.5, np.nan]], np.float32),
        "half": np.ones((3, 2), ml_dtypes.bfloat16),
        "done": np.array([True, False]),
    }
    ref = segments.write_segment(tmp_path, 0, 25_000, arrays)
    assert ref.name == "steps_000000000_000025000.npz"
    assert ref.bytes == (tmp_path / "replay" / ref.name).stat().st_size
    read = segments.read_segment(tmp_path, ref)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert read[name].tobytes() == array.tobytes()


def test_the_same_arrays_give_the_same_file(tmp_path) -> None:
    first = segments.write_segment(tmp_path, 0, 1, {"x": np.ones(3)})
    assert segments.write_segment(tmp_path, 0, 1, {"x": np.ones(3)}) == first


def test_an_orphan_of_the_same_name_is_replaced(tmp_path) -> None:
    segments.write_segment(tmp_path, 0, 1, {"x": np.zeros(3)})
    ref = segments.write_segment(tmp_path, 0, 1, {"x": np.ones(3)})
    np.testing.assert_array_equal(segments.read_segment(tmp_path, ref)["x"], np.ones(3))
    assert [path.name for path in (tmp_path / "replay").iterdir()] == [ref.name]


def test_damage_is_named(tmp_path) -> None:
    ref = segments.write_segment(tmp_path, 0, 1, {"x": np.zeros(3)})
    path = tmp_path / "replay" / ref.name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(SegmentError, match=r"000000001\.npz is damaged"):
        segments.read_segment(tmp_path, ref)
    path.write_bytes(whole[:-1])
    with pytest.raises(SegmentError, match=f"has {ref.bytes - 1} of {ref.bytes} bytes"):
        segments.read_segment(tmp_path, ref)
    with pytest.raises(SegmentError, match="missing"):
        segments.read_segment(tmp_path, SegmentRef("other.npz", "", 1))


def test_pruning_keeps_what_is_required(tmp_path) -> None:
    refs = [segments.write_segment(tmp_path, step, step + 1, {"x": np.zeros(3)}) for step in range(4)]
    (tmp_path / "replay" / ".tmp-steps_000000004_000000005.npz").write_bytes(b"half")
    segments.prune(tmp_path, {refs[1].name, refs[3].name})
    assert sorted(path.name for path in (tmp_path / "replay").iterdir()) == [refs[1].name, refs[3].name]


def test_pruning_before_anything_is_written_does_nothing(tmp_path) -> None:
    segments.prune(tmp_path, set())
    assert list(tmp_path.iterdir()) == []
