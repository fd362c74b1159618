"""Rendered rooms: what their labels say, and that a set is made of the same bytes however it is made."""

import numpy as np
import pytest

from polytask.problems.scenes import files
from polytask.problems.scenes.files import SceneSet
from polytask.problems.scenes.room import CLASSES
from polytask.tasks import opengl
from tests.small import command


@pytest.fixture(scope="module")
def tiny():
    from polytask.problems.scenes import tiny

    return tiny()


def test_the_shipped_set_is_small_and_whole(tiny):
    file = files.Path(files.__file__).with_name("tiny.npz")
    assert file.stat().st_size < 2e6
    assert tiny["image"].shape == (64, 48, 64, 3)
    assert all(len(values) == 64 for values in tiny.values())
    assert len(np.unique(tiny["image"].reshape(64, -1), axis=0)) == 64


def test_labels_are_in_range(tiny):
    assert set(np.unique(tiny["classes"])) == set(range(len(CLASSES)))
    assert tiny["depth"].min() > 300, "millimetres"
    assert tiny["depth"].max() < 9_000, "within a room"
    for mask in ("edges", "corners", "asked"):
        assert set(np.unique(tiny[mask])) == {0, 1}
    assert (tiny["asked"].sum((1, 2)) > 0).all(), "the asked-for object is in sight"


def test_normals_are_unit_and_turned_to_the_eye(tiny):
    normals = tiny["normals"] / 127
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=0.01)
    rays = _rays(48, 64, 55)
    assert ((normals * rays[None]).sum(-1) < 0.25).mean() > 0.999


def test_the_red_object_is_the_one_asked_for(tiny):
    asked = tiny["asked"].astype(bool)
    red = tiny["image"][..., 0].astype(int) > 1.6 * tiny["image"][..., 1:].max(-1)
    assert red[asked].mean() > 0.9
    assert red[~asked].mean() < 0.01


def test_boxes_hold_their_objects(tiny):
    for found, classes in zip(tiny["boxes"], tiny["classes"], strict=True):
        for kind, top, left, bottom, right in found[found[:, 0] >= 0]:
            assert 5 <= kind < len(CLASSES)
            inside = classes[top:bottom, left:right] == kind
            assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_depth_and_normals_agree_on_floors(tiny):
    """Places from depth lie in a plane whose normal is the label; the field of view is not kept, so it is fitted."""
    for i in range(0, 64, 9):
        floor = tiny["classes"][i] == 0
        depth, normal = tiny["depth"][i][floor] / 1000, np.median(tiny["normals"][i][floor] / 127, axis=0)
        rows, columns = np.nonzero(floor)
        rows, columns = 24 - (rows + 0.5), columns + 0.5 - 32
        spread = []
        for field in np.linspace(45, 65, 41):
            focal = 24 / np.tan(np.radians(field) / 2)
            heights = depth * (normal[0] * columns / focal + normal[1] * rows / focal - normal[2])
            spread.append(heights.std())
        assert min(spread) < 0.02


def _rays(height, width, field):
    focal = height / 2 / np.tan(np.radians(field) / 2)
    rows, columns = np.mgrid[:height, :width] + 0.5
    rays = np.stack([(columns - width / 2) / focal, (height / 2 - rows) / focal, -np.ones_like(rows)], axis=-1)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def test_a_name_stands_for_a_set():
    assert files.named("64x96-3000") == SceneSet(64, 96, 3000)
    assert files.named("64x96-30-seed2") == SceneSet(64, 96, 30, 2)
    assert files.named("64x96") is None
    assert all(files.named(which.name) == which for which in (SceneSet(16, 20, 5), SceneSet(16, 20, 5, 7)))


def test_what_is_not_made_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="polytask problems make scenes --size 64x96 --count 7 --seed 3"):
        files.read(SceneSet(64, 96, 7, 3))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "64"], "--size is height x width"),
        (["--size", "8x64"], "of 16x16 pixels or more"),
        (["--count", "0"], "at least one image"),
        (["--workers", "0"], "--workers must be at least 1"),
    ],
)
def test_sets_that_cannot_be_are_refused(arguments, said):
    code, _, err = command("problems", "make", "scenes", *arguments)
    assert (code, said in err) == (2, True)


def test_a_machine_that_cannot_render_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(opengl, "_PROBE", "raise SystemExit(1)")
    pytest.importorskip("mujoco")
    with pytest.raises(RuntimeError, match="libosmesa6"):
        files.make(SceneSet(16, 16, 1), lambda ready: None)


@pytest.mark.slow
def test_the_same_bytes_by_any_number_of_processes_and_after_an_interruption(tmp_path, monkeypatch):
    pytest.importorskip("mujoco")
    if opengl.working() is None:
        pytest.skip(opengl.missing())
    found = []
    for workers, before in ((1, None), (2, 2)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(workers)))
        monkeypatch.setattr(files, "_PART", 2)
        if before:  # the parts of an earlier, shorter set of the seed are taken over, as after an interruption
            with pytest.raises(KeyboardInterrupt):
                files.make(SceneSet(16, 24, 5), _stop_at(2), 1)
        files.make(SceneSet(16, 24, 5), lambda ready: None, workers)
        found.append(files.facts(SceneSet(16, 24, 5))["sha256"])
    assert found[0] == found[1]


def _stop_at(count):
    def done(ready):
        if ready >= count:
            raise KeyboardInterrupt

    return done
