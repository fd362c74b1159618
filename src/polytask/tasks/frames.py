"""Which of Gymnasium's spaces are images, and how their values become frames of uint8."""

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import UInt8

from polytask.tasks.contract import unfit, wrong_shape

SMALLEST, LARGEST = 7, 512  # pixels of a side
_CHANNELS_FIRST = (1, 3, 4)
_AS_VECTOR = "as a vector of numbers take it by gymnasium.wrappers.FlattenObservation"


class Layout(NamedTuple):
    """How an environment gives a frame.

    - `shape`: height, width and channels of the frame that it becomes; `given`: the shape of the environment's own.
    - `channels_first`: whether its channels are the first axis; `scale`: what its values are multiplied by.
    """

    shape: tuple[int, int, int]
    given: tuple[int, ...]
    channels_first: bool
    scale: int


def layout(space: gymnasium.Space) -> Layout | None:
    """How a space gives images, or None if it gives none.

    Images are boxes of uint8 of rank 2 or 3, and boxes of rank 3 and any type between 0 and 1 or between 0 and 255
    whose sides are those of an image. Channels are the last axis; the first where that has 1, 3 or 4 entries and the
    last has not. Values up to 1 are multiplied by 255.
    """
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) not in (2, 3):
        return None
    coded = space.dtype == np.uint8
    highest = float(space.high.max(initial=0))
    if not coded and (len(space.shape) != 3 or space.low.min(initial=0) < 0 or highest not in (1.0, 255.0)):
        return None
    shape = space.shape if len(space.shape) == 3 else (*space.shape, 1)
    first = shape[0] in _CHANNELS_FIRST and shape[2] not in _CHANNELS_FIRST
    height, width, channels = (*shape[1:], shape[0]) if first else shape
    if not coded and not _fits(height, width):
        return None
    return Layout((height, width, channels), space.shape, first, 255 if highest <= 1 else 1)


def check_size(task: str, height: int, width: int) -> None:
    """Raises ValueError for an image that networks do not take."""
    if not _fits(height, width):
        raise ValueError(
            f"task '{task}' has images of {height} x {width}, but their sides have to be {SMALLEST} to {LARGEST} "
            f"pixels; wrap it in a callable (gymnasium.wrappers.ResizeObservation; {_AS_VECTOR}), and name that: "
            "gym/<module>:<callable>"
        )


def frame(
    task: str, space: gymnasium.Space, layout: Layout, observation: Any
) -> UInt8[np.ndarray, "height width channels"]:
    """A copy of what an environment gave, as a frame. Raises ValueError if it does not fit its space."""
    try:
        values = np.asarray(observation)
        if values.dtype != np.uint8 or layout.scale != 1:
            values = values.astype(np.float32) * layout.scale
    except (TypeError, ValueError) as error:
        raise unfit(task, space, observation, error) from error
    if values.shape != layout.given:
        raise wrong_shape(task, "image", values.shape, layout.given)
    if values.dtype != np.uint8:
        if not ((values >= 0) & (values <= 255)).all():
            raise unfit(task, space, observation, f"values that are not from 0 to {255 // layout.scale}")
        values = np.rint(values).astype(np.uint8)
    values = values.reshape(values.shape if values.ndim == 3 else (*values.shape, 1))
    return np.array(np.moveaxis(values, 0, -1) if layout.channels_first else values, order="C")


def _fits(height: int, width: int) -> bool:
    return min(height, width) >= SMALLEST and max(height, width) <= LARGEST
