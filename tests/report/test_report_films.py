"""What the policies do, as strips of frames, where there are videos."""

import base64
import re
import subprocess

import pytest

from polytask.report import films, write_report
from polytask.runs.folder import video_file


def video(run, task: str, frames: int) -> None:
    """Grey frames of 20 x 10 pixels, each lighter than the one before."""
    encoder = pytest.importorskip("imageio_ffmpeg", reason="polytask[official] encodes videos").get_ffmpeg_exe()
    out = video_file(run, task)
    out.parent.mkdir(exist_ok=True)
    raw = b"".join(bytes([255 * i // frames]) * 200 for i in range(frames))
    arrives = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "20x10", "-i", "-"]
    subprocess.run([encoder, "-loglevel", "error", *arrives, "-pix_fmt", "yuv420p", str(out)], input=raw, check=True)


@pytest.fixture
def run(run_folder, specs):
    return run_folder("a", specs.dmc(["dog-walk", "dog-run", "dog-trot"]), evaluations=1)


@pytest.mark.parametrize(("frames", "shown"), [(1, 1), (8, 8), (9, 5), (40, 8)])
def test_a_strip_has_frames_from_the_first_on(tmp_path, frames, shown):
    video(tmp_path, "dog", frames)
    jpeg = films._strip(video_file(tmp_path, "dog"))
    (height, width) = (int.from_bytes(jpeg[i : i + 2]) for i in (jpeg.index(b"\xff\xc0") + k for k in (5, 7)))
    assert (width, height) == (shown * 2 * films.HEIGHT, films.HEIGHT)


def test_tasks_with_a_video_that_can_be_read_have_a_strip(run):
    video(run, "dmc/dog-walk", 20)
    video_file(run, "dmc/dog-run").write_bytes(b"cut")
    page = write_report([run], run / "report.html").read_text()
    part = page.partition('<section id="films">')[2].partition("</section>")[0]
    assert re.findall(r'data-task="([^"]*)"', part) == ["dog-walk"]
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', part)
    assert base64.b64decode(data).startswith(b"\xff\xd8")


def test_without_a_reader_the_report_says_what_to_install(run, monkeypatch):
    video_file(run, "dmc/dog-walk").parent.mkdir()
    video_file(run, "dmc/dog-walk").write_bytes(b"a video")
    monkeypatch.setattr(films, "_reader", lambda: None)
    assert "imageio[ffmpeg]" in write_report([run], run / "report.html").read_text()
