"""Videos, and what is said where none can be made."""

import os
import shutil
import subprocess
import sys

import pytest

from polytask.policies import video
from polytask.policies.policy import load
from polytask.policies.video import VideoError
from polytask.runs.folder import video_file
from polytask.tasks import opengl, resolve
from tests.small import PLANE, POINT, command


def needs_encoder():
    return pytest.importorskip("imageio_ffmpeg", reason="videos are encoded by imageio-ffmpeg: polytask[official]")


def frames(file):
    """The size of a video and how many frames it has, as ffmpeg reads them back."""
    imageio_ffmpeg = needs_encoder()
    reader = imageio_ffmpeg.get_ffmpeg_exe()
    command = [reader, "-loglevel", "error", "-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_an_episode_is_filmed_frame_by_frame(trained_run, tmp_path):
    needs_encoder()
    policy = load(trained_run)
    out = video_file(tmp_path, POINT)
    assert out.name == "gym-tests.small-point.mp4"
    returned, _ = video.record_episode(policy, POINT, out, seed=1)
    assert returned < 0
    assert len(frames(out)) == (1 + 20) * 48 * 64 * 3  # an odd line is cut off
    again, _ = video.record_episode(policy, POINT, out, seed=1)
    assert again == returned


def test_evaluate_films_every_task(trained_run, tmp_path):
    needs_encoder()
    run = tmp_path / "run"
    shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("replay"))
    code, out, _ = command("evaluate", str(run), "--episodes", "1", "--video")
    assert code == 0
    for task in (POINT, PLANE):
        assert video_file(run, task).stat().st_size > 500
        assert f"videos/{video_file(run, task).name}" in out


def test_a_task_without_a_picture_is_named_and_the_others_are_filmed(trained_run, tmp_path, monkeypatch):
    needs_encoder()
    run = tmp_path / "run"
    shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("replay"))
    monkeypatch.setattr(
        "tests.small.Walk.render", lambda walk: 1 / 0 if walk._judged else video.np.zeros((8, 8, 3), "u1")
    )
    code, _, err = command("evaluate", str(run), "--episodes", "1", "--video")
    assert code == 1
    assert f"'{POINT}' cannot be rendered" in err
    assert [path.name for path in (run / "videos").glob("*plane*")]


def test_missing_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VideoError, match=r"imageio_ffmpeg, metaworld.*pip install -e '.\[official\]'"):
        video.prepare(resolve(["metaworld/reach-v3"]).specs)


def test_a_missing_gl_library_is_said_before_anything_is_run(monkeypatch):
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(opengl, "_PROBE", "import os; os.abort()")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    specs = resolve(["metaworld/reach-v3"]).specs
    with pytest.raises(VideoError, match="apt-get install libosmesa6"):
        video.prepare(specs)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    with pytest.raises(VideoError, match="MUJOCO_GL=osmesa; unset it"):
        video.prepare(specs)


def test_the_first_way_to_render_that_works_is_taken(monkeypatch):
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(opengl, "_PROBE", "import os, sys; sys.exit(os.environ['MUJOCO_GL'] != 'osmesa')")
    monkeypatch.setenv("MUJOCO_GL", "")  # so that what `prepare` sets is undone
    video.prepare(resolve(["metaworld/reach-v3"]).specs)
    assert os.environ["MUJOCO_GL"] == "osmesa"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["metaworld/reach-v3", "dmc/cheetah-run"])
def test_the_official_simulators_are_filmed(task, tmp_path):
    needs_encoder()
    run = tmp_path / "run"
    # In a process of its own: MuJoCo's way to render is chosen once.
    arguments = ["train", task, "--steps", "20", "--warmup-steps", "30", "--eval-every", "0", "--run", str(run)]
    assert command(*arguments, "--agent.critic-width", "16", "--agent.actor-width", "16", "--horizon", "20")[0] == 0
    script = "import sys; from polytask.cli import main; sys.exit(main())"
    arguments = ["evaluate", str(run), "--episodes", "1", "--video"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    if "cannot render here" in done.stderr or "not installed" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    pixels = frames(video_file(run, task))
    assert len(pixels) == 21 * 240 * 240 * 3
    assert len(set(pixels)) > 50  # not one colour
