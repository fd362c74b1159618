"""What is seen of an observation, as a picture for people."""

import numpy as np
from jaxtyping import Float, UInt8

from polytask.tasks.spaces import Image


def picture(
    image: Image, stack: UInt8[np.ndarray, "height width channels"], side: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The newest frame of a stack, enlarged so often as fits into `side` pixels.

    One channel is grey and three are a colour; of more each has a hue, and the brightest of them is seen, or the first.
    """
    frame = stack[..., image.channels * (image.stack - 1) :]
    if image.channels == 1:
        frame = frame.repeat(3, axis=-1)
    elif image.channels != 3:
        brightest = frame.argmax(axis=-1)
        frame = (hues(image.channels)[brightest] * frame.max(axis=-1, keepdims=True)).astype(np.uint8)
    times = max(1, side // max(image.height, image.width))
    return frame.repeat(times, axis=0).repeat(times, axis=1)


def hues(count: int) -> Float[np.ndarray, "count 3"]:
    """Evenly spaced on the colour wheel, from red on; parts of 1."""
    turns = 6 * np.arange(count)[:, None] / count
    return np.clip(np.abs((turns + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
