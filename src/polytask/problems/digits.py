"""The handwritten digits that ship with scikit-learn: 1,797 pictures of 8 x 8 pixels (Alpaydin and Kaynak 1998)."""

import functools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from polytask import random

PARTS = (0.6, 0.2, 0.2)  # of the pictures: training, validation, test


class Digits(NamedTuple):
    """Pictures with pixels from 0 to 1, and which digit each shows."""

    images: Float[np.ndarray, "pictures 8 8"]
    labels: Int[np.ndarray, " pictures"]


@functools.cache
def load() -> Digits:
    """All pictures. Raises ImportError, with the command that installs it, if scikit-learn is missing."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the digits of this problem come with scikit-learn; pip install -e '.[problems]' in the checkout",
            name="sklearn",
        ) from error
    found: Any = load_digits()
    return Digits((found.images / 16).astype(np.float32), found.target.astype(np.int64))


def disjoint_parts(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pictures are for training, validation and test; no picture is in two."""
    count = len(load().labels)
    order = random.generator(seed, "digits").permutation(count)
    ends = np.round(np.cumsum(PARTS) * count).astype(int)
    first, second, third = np.split(order, ends[:2])
    return first, second, third
