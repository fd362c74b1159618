"""A task's own observations in those of a set: stacked, and padded with zeros."""

from typing import Any

import numpy as np

from polytask.tasks.spaces import Image, Named, Observation, Observations, SetObservations, Vector
from polytask.tasks.spec import TaskSet


def zeros(tasks: TaskSet, count: int) -> SetObservations:
    """`count` observations of a set, to be written."""
    vector = np.zeros((count, tasks.observation_dim), np.float32)
    if not tasks.images:
        return vector
    return Observations(vector, tuple(np.zeros((count, *shape), np.uint8) for shape in tasks.images))


def arrays(observations: SetObservations) -> tuple[np.ndarray, ...]:
    """The vectors, and the images if there are any."""
    return (observations.vector, *observations.images) if isinstance(observations, Observations) else (observations,)


def write(tasks: TaskSet, row: int, observation: Any, out: SetObservations, index: Any) -> None:
    """Writes an observation of the task at `row` into `out` at `index`; several with a leading axis, at a slice.

    It is an array for a vector, a whole stack for an image, and a dictionary for `Named`.
    """
    if not isinstance(out, Observations):
        out[index, : observation.shape[-1]] = observation
        return
    space, done = tasks.specs[row].observation, 0
    named = isinstance(space, Named)
    places = iter(tasks.places(row))
    for name, part in space.parts if named else (("", space),):
        value = observation[name] if named else observation
        if isinstance(part, Vector):
            out.vector[index, done : done + part.size] = value
            done += part.size
        else:
            out.images[next(places)][index, ..., : part.shape[2]] = value


def stacked(space: Observation, observation: Any, before: Any = None) -> Any:
    """An observation with whole stacks, from one with a single frame of each image.

    `before` is the stacked observation of the step before; without one an episode begins, and its first frame is
    repeated. Frames lie along the channels, the newest last.
    """
    if isinstance(space, Named):
        parts = dict(space.parts)
        return {n: stacked(parts[n], v, None if before is None else before[n]) for n, v in observation.items()}
    if isinstance(space, Vector) or space.stack == 1:
        return observation
    return _pushed(space, observation, before)


def _pushed(space: Image, frame: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    # Channel by channel: NumPy copies a few entries of each pixel many times more slowly.
    stack, older = np.empty(space.shape, frame.dtype), space.channels * (space.stack - 1)
    for channel in range(older):
        last = frame[..., channel % space.channels] if before is None else before[..., channel + space.channels]
        stack[..., channel] = last
    for channel in range(space.channels):
        stack[..., older + channel] = frame[..., channel]
    return stack
