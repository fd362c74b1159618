"""The spaces of a task's observations and actions, as facts: frozen, hashable, and of what JSON can hold."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8


@dataclasses.dataclass(frozen=True)
class Vector:
    """`size` numbers in float32."""

    size: int


@dataclasses.dataclass(frozen=True)
class Image:
    """uint8 frames of height x width x channels; the last `stack` of them, newest last, are an observation.

    An environment gives one frame. Stepping stacks them along the channels, and the replay holds each frame once.
    """

    height: int
    width: int
    channels: int
    stack: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an observation: height, width, and the channels of all frames."""
        return (self.height, self.width, self.channels * self.stack)


@dataclasses.dataclass(frozen=True)
class Named:
    """Several by name, in the order in which a policy takes them."""

    parts: tuple[tuple[str, Vector | Image], ...]


@dataclasses.dataclass(frozen=True)
class Box:
    """Continuous actions between finite bounds, in the task's own units. Agents act in [-1, 1]."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Choices:
    """One or several discrete actions at once; `sizes` are how many each can be chosen from.

    Agents choose among all combinations, counted as `numpy.unravel_index` does, the last choice fastest.
    """

    sizes: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many combinations there are."""
        return math.prod(self.sizes)

    def at(self, index: Any) -> Any:
        """The choices of a combination, int64: one, or a last axis of as many as `sizes`; `index` may have axes."""
        chosen = np.unravel_index(np.asarray(index, np.int64), self.sizes)
        return chosen[0] if len(chosen) == 1 else np.stack(chosen, axis=-1)


class Observations(NamedTuple):
    """Observations of a set of tasks in which some have images: NumPy arrays, or JAX arrays inside an agent.

    `vector` is padded with zeros to the set's `observation_dim`; `images` has an array for each of the set's `images`,
    zero for tasks that have none there.
    """

    vector: Float[Any, "*batch observation"]
    images: tuple[UInt8[Any, "*batch height width channels"], ...]


SetObservations = Float32[np.ndarray, "_ _"] | Observations
"""Observations of a set of tasks outside an agent: one array where no task has an image."""
Observation = Vector | Image | Named
Action = Box | Choices

_BY_FIELDS = {frozenset(f.name for f in dataclasses.fields(s)): s for s in (Vector, Image, Named, Box, Choices)}


def space_from(facts: Mapping[str, Any]) -> Any:
    """A space from its fields as JSON has them, which tell the spaces apart. Raises ValueError for others."""
    if frozenset(facts) == {"parts"}:
        return Named(tuple((str(name), space_from(part)) for name, part in facts["parts"]))
    space = _BY_FIELDS.get(frozenset(facts))
    if space is None:
        raise ValueError(f"no space of polytask has the fields {sorted(facts)}")
    values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in facts.items()}
    return space(**values)


def vectors(space: Observation) -> tuple[Vector, ...]:
    """Its vectors, in order."""
    return tuple(part for part in parts(space) if isinstance(part, Vector))


def images(space: Observation) -> tuple[Image, ...]:
    """Its images, in order."""
    return tuple(part for part in parts(space) if isinstance(part, Image))


def parts(space: Observation) -> tuple[Vector | Image, ...]:
    """Its parts without their names; a vector or an image is its own."""
    return tuple(part for _, part in space.parts) if isinstance(space, Named) else (space,)


def size_of(space: Observation | Action) -> str:
    """Its size in a table: 39, 84x84x4, 64x64x3+7, 1 of 6."""
    if isinstance(space, Box):
        return str(len(space.low))
    if isinstance(space, Choices):
        return f"1 of {space.count}"
    return "+".join("x".join(map(str, p.shape)) if isinstance(p, Image) else str(p.size) for p in parts(space))
