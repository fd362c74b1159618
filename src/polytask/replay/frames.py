"""Frames of images: each stored once, and stacked when it is sampled."""

from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from polytask.replay.disk import DiskRows
from polytask.tasks.spaces import Image


class Frames:
    """The frames of one image of one task in a ring of as many slots as its transitions have; uint8.

    `before` counts the frames of the same episode behind each slot that its stack takes, at most `image.stack - 1`.
    With a `folder` the frames lie in a file there. Raises ValueError for a ring that holds no stack that stays whole.
    """

    def __init__(self, image: Image, place: int, ring: int, folder: Path | None) -> None:
        self.image, self.place, self.ring = image, place, ring
        size = image.height * image.width * image.channels
        self._disk = None if folder is None else DiskRows(folder, (ring, size), ring, np.uint8)
        self.rows = np.zeros((ring, size), np.uint8) if self._disk is None else self._disk.rows
        self.before = np.zeros(ring, np.uint8)

    def claim(self, slots: int) -> None:
        """Makes sure of the room for the first `slots` slots."""
        if self._disk is not None:
            self._disk.claim(np.array([slots]))

    def put(self, slot: int, stack: UInt8[np.ndarray, "height width channels"], before: int) -> None:
        """Stores the newest frame of an observation; `before` is how many of its episode went before it."""
        channels = self.image.channels * self.image.stack
        newest = stack[..., channels - self.image.channels : channels]
        self.rows[slot] = newest.ravel()
        self.before[slot] = min(before, self.image.stack - 1)

    def broken(self, written: int) -> Int[np.ndarray, " slots"]:
        """Slots, of the oldest still held, whose stacks have lost a frame.

        `written` is the last slot that was written, counted without wrapping.
        """
        if written < self.ring:
            return np.zeros(0, np.int64)
        distance = np.arange(1, self.image.stack)
        slots = (written + distance) % self.ring
        return slots[self.before[slots] >= distance]

    def stacks(self, slots: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width channels"]:
        """The whole stacks of observations, the newest frame last; the first of an episode is repeated."""
        image = self.image
        found = np.empty((len(slots), image.height, image.width, image.stack, image.channels), np.uint8)
        for back in range(image.stack):
            older = (slots - np.minimum(back, self.before[slots]).astype(np.int64)) % self.ring
            frames = self.rows[older].reshape(-1, image.height, image.width, image.channels)
            found[..., image.stack - 1 - back, :] = frames
        return found.reshape(-1, *image.shape)


def frame_bytes(images: tuple[Image, ...]) -> int:
    """Bytes of a slot's frames, one of each image, with what is remembered of each."""
    return sum(image.height * image.width * image.channels + 1 for image in images)
