"""What each task's policy does: strips of frames, out of the videos in the run folders."""

import base64
import subprocess
from collections.abc import Sequence
from html import escape
from pathlib import Path

from polytask.evaluation import text
from polytask.report import html
from polytask.report.data import Run
from polytask.report.material import Material
from polytask.runs.folder import video_file

FRAMES, HEIGHT = 8, 120  # of a strip; pixels


def films(material: Material) -> str:
    """The section with a strip for each task that a run has a video of; nothing where there is none."""
    runs = [run for method in material.methods for run in method.runs]
    found = {task.name: run for task in material.specs if (run := _filmed(task.name, runs))}
    strips = {name: _strip(video_file(run.path, name)) for name, run in found.items()}
    shown = {material.names[name]: strip for name, strip in strips.items() if strip}
    if not shown:
        why = "There are videos, but imageio-ffmpeg, which reads them, is missing: pip install 'imageio[ffmpeg]'."
        return html.section("films", "What the policy does", html.missing(why)) if strips and not _reader() else ""
    images = [
        f'<p>{escape(name)}</p><img class="strip" src="data:image/jpeg;base64,{base64.b64encode(strip).decode()}"'
        f' alt="An episode of {escape(name)}, from left to right">'
        for name, strip in shown.items()
    ]
    whose = f" by {text.listed(sorted({run.name for run in found.values()}))}" if len(runs) > 1 else ""
    caption = f"One episode of each task{whose}, from left to right, in {FRAMES} frames or fewer."
    body = html.figure("".join(f"<div{html.of_task(n)}>{i}</div>" for n, i in zip(shown, images, strict=True)), caption)
    return html.section("films", "What the policy does", body)


def _filmed(task: str, runs: Sequence[Run]) -> Run | None:
    """The first run that has a video of a task."""
    return next((run for run in runs if video_file(run.path, task).exists()), None)


def _reader() -> str | None:
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    return imageio_ffmpeg.get_ffmpeg_exe()


def _strip(video: Path) -> bytes:
    """A JPEG of frames side by side, evenly from the first on; nothing if the video cannot be read."""
    if (reader := _reader()) is None:
        return b""
    read = [reader, "-loglevel", "error", "-i", str(video)]
    count = subprocess.run([*read, "-vf", "scale=1:1", "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True)
    frames = len(count.stdout)  # a pixel each
    if not frames:
        return b""
    every = -(-frames // FRAMES)
    tiles = f"select=not(mod(n\\,{every})),scale=-2:{HEIGHT},tile={-(-frames // every)}x1"
    drawn = [*read, "-vf", tiles, "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe", "-"]
    return subprocess.run(drawn, capture_output=True).stdout
