"""Scenes: rendered rooms with exact labels for each pixel, a small synthetic Taskonomy (docs/scenes.md)."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from polytask import random
from polytask.problems.scenes import files
from polytask.problems.scenes.files import SceneSet
from polytask.problems.scenes.room import CLASSES
from polytask.supervised.problem import Problem, make_image_problem
from polytask.supervised.spec import HeadSpec

TASKS = (
    HeadSpec("classes", "segmentation", len(CLASSES)),
    HeadSpec("depth", "depth"),
    HeadSpec("normals", "normals", 3),
    HeadSpec("edges", "mask"),
    HeadSpec("corners", "mask"),
    HeadSpec("asked", "mask"),
)
_TINY = Path(__file__).with_name("tiny.npz")
_UNITS = {"depth": 1e-3, "normals": 1 / 127}
_SHARES = (0.75, 0.875)  # where training and validation images end


def scenes(seed: int = 0, which: SceneSet | None = None) -> Problem:
    """Six tasks over the images of a set that was made, or over the 64 that ship: three quarters for training, an
    eighth each for validation and test, drawn by `seed`.

    Raises FileNotFoundError, with the command that makes it, for a set that was not made.
    """
    if which is None:
        arrays, digest = tiny(), hashlib.sha256(_TINY.read_bytes()).hexdigest()
    else:
        arrays, digest = files.read(which), str(files.facts(which)["sha256"])
    count = len(arrays["image"])
    order = random.generator(seed, "scenes/split").permutation(count)
    first, second, third = np.split(order, [round(share * count) for share in _SHARES])
    labels = {task.name: arrays[task.name] for task in TASKS}
    name = f"scenes-{which.name}" if which else "scenes"
    return make_image_problem(name, TASKS, arrays["image"], labels, (first, second, third), digest, _UNITS)


def tiny() -> Mapping[str, np.ndarray]:
    """The 64 scenes that ship with the package, 48x64 pixels; made by
    `polytask problems make scenes --size 48x64 --count 64 --output src/polytask/problems/scenes/tiny.npz`."""
    with np.load(_TINY) as file:
        return dict(file)
