"""Videos of a policy, rendered off screen by the official simulators."""

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from polytask import random
from polytask.policies.policy import Policy
from polytask.tasks import opengl
from polytask.tasks.padding import stacked
from polytask.tasks.picture import picture
from polytask.tasks.registry import make_env
from polytask.tasks.spaces import Image, Named, images
from polytask.tasks.spec import TaskSpec

SIDE = 240  # pixels, about; large enough to see what happens, small enough for a software renderer
FRAMES = 150  # at most; a software renderer takes about a tenth of a second for each
FRAMES_PER_SECOND = 20


class VideoError(RuntimeError):
    """Videos cannot be made here; the message says what to install."""


def prepare(specs: tuple[TaskSpec, ...]) -> None:
    """Checks that these tasks can be rendered here, and chooses MuJoCo's way to do it (MUJOCO_GL).

    Raises VideoError naming the packages or libraries that are missing.
    """
    needed = {"metaworld": "metaworld", "dmc": "dm_control", "dmc-pixels": "dm_control"}
    modules = ["imageio_ffmpeg", *(needed[spec.suite] for spec in specs if spec.suite in needed)]
    missing = sorted({module for module in modules if importlib.util.find_spec(module) is None})
    if missing:
        raise VideoError(
            f"videos need packages that are not installed ({', '.join(missing)}): "
            f"pip install -e '.[official]' in the checkout"
        )
    if importlib.util.find_spec("mujoco") is not None:
        chosen = opengl.working()
        if chosen is not None:
            os.environ["MUJOCO_GL"] = chosen
        elif any(spec.suite in needed for spec in specs):
            raise VideoError(opengl.missing())


def record_episode(policy: Policy, task: str, out: Path, seed: int = 0) -> tuple[float, bool]:
    """Films one episode of the policy's mode into the MP4 file `out`; returns its return, and whether it succeeded.

    Of a task with images it shows what the policy sees, the newest frame of the first of them.

    Call `prepare` first. Goals and initial state follow from `seed`; fixed goals are the run's own.
    Raises VideoError if the task gives no picture or the file cannot be encoded.
    """
    spec = policy.tasks.specs[policy.tasks.index(task)]
    seeds = (random.integer(seed, f"video/{task}"), random.integer(policy.config.seed, "goals"))
    env = make_env(spec, *seeds, render=not images(spec.observation))
    out.parent.mkdir(parents=True, exist_ok=True)
    total, success, ended, step = 0.0, False, False, 0
    every = -(-spec.horizon // FRAMES)
    try:
        with _Film(out) as film:
            observation = stacked(spec.observation, env.reset()[0])
            film.add(_picture(env, spec, observation))
            while not ended:
                following, reward, terminated, truncated, info = env.step(policy.act(observation, task))
                observation = stacked(spec.observation, following, observation)
                total, success = total + float(reward), success or bool(info.get("success", 0.0))
                ended, step = terminated or truncated, step + 1
                if ended or step % every == 0:
                    film.add(_picture(env, spec, observation))
    finally:
        env.close()
    return total, success


def _picture(env: Any, spec: TaskSpec, observation: Any) -> UInt8[np.ndarray, "height width 3"]:
    """What the policy sees, where it sees images; else what the simulator renders."""
    if not images(spec.observation):
        return _frame(env, spec.name)
    space, pixels = spec.observation, observation
    if isinstance(space, Named):
        name, space = next((name, part) for name, part in space.parts if isinstance(part, Image))
        pixels = observation[name]
    assert isinstance(space, Image)
    return picture(space, pixels, SIDE)


def _frame(env: Any, task: str) -> UInt8[np.ndarray, "height width 3"]:
    """What the camera sees, every so many pixels of it, so that a side has about SIDE."""
    try:
        frame = env.render()
    except Exception as error:
        raise VideoError(f"task '{task}' cannot be rendered: {error}") from error
    if not isinstance(frame, np.ndarray):
        raise VideoError(f"task '{task}' renders no picture: its environment must take render_mode='rgb_array'")
    every = max(1, round(max(frame.shape[:2]) / SIDE))
    return np.ascontiguousarray(frame[::every, ::every])


class _Film:
    """An MP4 file, written frame by frame by ffmpeg, which is started at the first: it has to know the size."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._encoder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Film":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._encoder is None:
            return
        _, said = self._encoder.communicate()
        if self._encoder.returncode:
            raise VideoError(f"ffmpeg could not write {self._out}: {said.decode(errors='replace').strip()[-500:]}")

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        frame = frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2]  # H.264 takes even sizes only
        if self._encoder is None:
            self._encoder = self._start(frame.shape[1], frame.shape[0])
        assert self._encoder.stdin is not None
        self._encoder.stdin.write(frame.tobytes())

    def _start(self, width: int, height: int) -> "subprocess.Popen[bytes]":
        # imageio-ffmpeg's own writer forks in a way that can deadlock beside JAX's threads.
        import imageio_ffmpeg

        arrives = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FRAMES_PER_SECOND)]
        leaves = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(self._out)]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arrives, "-i", "-", *leaves]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
