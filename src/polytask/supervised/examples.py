"""Rows as they are trained on: in memory, or images that stay where they are stored."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8

from polytask.supervised.spec import HeadSpec, groups

SAMPLE = 256  # stored images that are enough to judge what is trained on


class Examples(eqx.Module):
    """Rows as they are trained on. What stands where `present` is False is zero, and takes no part in anything.

    `targets` holds an array for each group of tasks: (rows, tasks, outputs), or (rows, tasks) class numbers; where
    every pixel has a label (rows, height, width, tasks, outputs), or (rows, height, width, tasks).
    """

    inputs: Float[Array, "rows ..."]
    targets: tuple[Shaped[Array, "rows ..."], ...]
    present: Bool[Array, "rows tasks"]

    def take(self, index: Any) -> "Examples":
        """Some of the rows."""
        return Examples(self.inputs[index], tuple(t[index] for t in self.targets), self.present[index])

    def whole(self) -> "Examples":
        """All of them."""
        return self

    def sample(self) -> "Examples":
        """What stands for them where they are judged, not learned from: all of them."""
        return self


class Source:
    """Images (count, height, width, 3) of bytes, and arrays of labels by task, read as they are needed.

    Labels are (count, height, width), for normals (count, height, width, 3), in any type; `units` by task is what they
    are multiplied by. Two sources are the same if they are one object.
    """

    def __init__(
        self, images: np.ndarray, labels: Mapping[str, np.ndarray], units: Mapping[str, float], digest: bytes
    ) -> None:
        self.images, self.labels, self.units, self.digest = images, labels, units, digest

    def read(self, tasks: Sequence[HeadSpec], index: np.ndarray) -> tuple[np.ndarray, ...]:
        """The images at `index`, of any shape, and the labels of each group."""
        found = [self.images[index]]
        for group in groups(tasks):
            own = [self.labels[tasks[i].name][index] for i in group.tasks]
            if group.kind == "segmentation":
                found.append(np.stack(own, axis=-1))
            else:
                found.append(np.stack([x if group.outputs > 1 else x[..., None] for x in own], axis=-2))
        return tuple(found)


class Stored(eqx.Module):
    """Some of a source's images with the labels of `tasks`; they are read when they are taken, also inside a compiled
    program, so that only what a step needs is in memory."""

    index: Int[Array, " rows"]
    present: Bool[Array, "rows tasks"]
    digest: UInt8[Array, " bytes"]
    source: Source = eqx.field(static=True)
    tasks: tuple[HeadSpec, ...] = eqx.field(static=True)

    @property
    def inputs(self) -> jax.ShapeDtypeStruct:
        """The shape that all inputs would have together."""
        return jax.ShapeDtypeStruct((self.index.shape[0], *self.source.images.shape[1:]), jnp.float32)

    def take(self, index: Any) -> Examples:
        """Some of the rows, read."""
        rows = self.index[index]
        shapes = [
            jax.ShapeDtypeStruct((*rows.shape, *one.shape[1:]), one.dtype)
            for one in self.source.read(self.tasks, np.zeros(1, int))
        ]
        image, *labels = jax.pure_callback(
            lambda at: self.source.read(self.tasks, np.asarray(at)), tuple(shapes), rows, vmap_method="expand_dims"
        )
        targets = []
        for group, values in zip(groups(self.tasks), labels, strict=True):
            if group.kind == "segmentation":
                targets.append(values.astype(jnp.int32))
            else:
                units = jnp.array([self.source.units.get(self.tasks[i].name, 1.0) for i in group.tasks], jnp.float32)
                targets.append(values.astype(jnp.float32) * units.reshape(1, 1, 1, -1, 1))
        return Examples(image.astype(jnp.float32) / 255, tuple(targets), self.present[index])

    def whole(self) -> Examples:
        """All of them, read."""
        return self.take(jnp.arange(self.index.shape[0]))

    def sample(self) -> "Stored":
        """What stands for them where they are judged, not learned from: the first."""
        return Stored(self.index[:SAMPLE], self.present[:SAMPLE], self.digest, self.source, self.tasks)

    def only(self, kept: Sequence[int]) -> "Stored":
        """Some of the tasks."""
        tasks = tuple(self.tasks[i] for i in kept)
        return Stored(self.index, self.present[:, np.array(kept)], self.digest, self.source, tasks)


def mirrored(tasks: Sequence[HeadSpec], examples: Examples, flip: Bool[Array, " rows"]) -> Examples:
    """Images and labels, left and right exchanged where `flip` says so; normals then point to the other side."""
    aside = flip.reshape(-1, 1, 1, 1)
    inputs = jnp.where(aside, examples.inputs[:, :, ::-1], examples.inputs)
    targets = []
    for group, values in zip(groups(tasks), examples.targets, strict=True):
        turned = values[:, :, ::-1]
        if group.kind == "normals":
            turned = turned * jnp.array([-1.0, 1.0, 1.0]).reshape(1, 1, 1, 1, 3)
        targets.append(jnp.where(aside if values.ndim == 4 else aside[..., None], turned, values))
    return Examples(inputs, tuple(targets), examples.present)
