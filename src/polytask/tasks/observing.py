"""Observations of an environment: of which of polytask's spaces they are, and each in the form of that."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from polytask.tasks import contract, frames
from polytask.tasks.spaces import Image, Named, Observation, Vector


def observation_of(task: str, space: gymnasium.Space, stack: int) -> Observation:
    """The space of a task's observations: images as images, all others flattened to a vector.

    A dictionary with an image among its entries is `Named` in the order of its keys. `stack` frames of an image are an
    observation. Raises ValueError, saying what to do, for what is neither.
    """
    if isinstance(space, gymnasium.spaces.Dict) and any(map(frames.layout, space.values())):
        return Named(tuple((name, _part(task, part, stack)) for name, part in space.items()))
    return _part(task, space, stack)


def _part(task: str, space: gymnasium.Space, stack: int) -> Vector | Image:
    nested = isinstance(space, gymnasium.spaces.Dict | gymnasium.spaces.Tuple)
    if nested and any(map(frames.layout, contract.leaves(space))):
        raise ValueError(
            f"task '{task}' has images deeper than in one dictionary of observations; wrap it in a callable that gives "
            "a gymnasium.spaces.Dict of images and vectors (gymnasium.wrappers.TransformObservation), and name that: "
            "gym/<module>:<callable>"
        )
    if isinstance(space, gymnasium.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 4:
        raise ValueError(
            f"task '{task}' has stacks of images of shape {space.shape}; let it give one frame at a time, without "
            "gymnasium.wrappers.FrameStackObservation, and stack them with --task.stack"
        )
    layout = frames.layout(space)
    if layout is None:
        return Vector(contract.flat_size(task, space))
    frames.check_size(task, *layout.shape[:2])
    return Image(*layout.shape, stack)


def reader(task: str, space: gymnasium.Space, wanted: Observation) -> Callable[[Any], Any]:
    """What brings each observation of an environment into the form of `wanted`.

    A float32 array for a vector, uint8 of height x width x channels for an image, for `Named` a dictionary of them.
    Raises ValueError, as the function that it gives does, for what does not fit.
    """
    if isinstance(wanted, Named):
        return _named(task, space, wanted)
    if isinstance(wanted, Vector):
        size = contract.flat_size(task, space)
        if size != wanted.size:
            raise contract.wrong_shape(task, "observation", (size,), (wanted.size,))
        return lambda observation: contract.flat(task, space, observation, size)
    layout = frames.layout(space)
    of_spec = (wanted.height, wanted.width, wanted.channels)
    if layout is None or layout.shape != of_spec:
        raise contract.wrong_shape(task, "observation", layout.shape if layout else (space.shape or ()), of_spec)
    return lambda observation: frames.frame(task, space, layout, observation)


def _named(task: str, space: gymnasium.Space, wanted: Named) -> Callable[[Any], Any]:
    entries = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {}
    missing = [name for name, _ in wanted.parts if name not in entries]
    if missing:
        raise ValueError(
            f"task '{task}': its TaskSpec names {', '.join(missing)}, but its observation_space is {space}; "
            "the space has to be a gymnasium.spaces.Dict with these entries"
        )
    readers = {name: reader(task, entries[name], part) for name, part in wanted.parts}

    def read(observation: Any) -> dict[str, Any]:
        if not isinstance(observation, Mapping) or any(name not in observation for name in readers):
            raise contract.unfit(task, space, observation, f"it has to hold {', '.join(readers)}")
        return {name: read(observation[name]) for name, read in readers.items()}

    return read
