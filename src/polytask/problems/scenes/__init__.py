"""Scenes: rendered rooms with exact labels for each pixel, a small synthetic Taskonomy (docs/scenes.md)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def tiny() -> Mapping[str, np.ndarray]:
    """The 64 scenes that ship with the package, 48x64 pixels; made by
    `polytask problems make scenes --size 48x64 --count 64 --output src/polytask/problems/scenes/tiny.npz`."""
    with np.load(Path(__file__).with_name("tiny.npz")) as file:
        return dict(file)
