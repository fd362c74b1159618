"""Tasks on images of 8 x 8 pixels that packages carry, all of one form: a set's tasks differ in images and labels."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int

from polytask import random
from polytask.supervised import HeadSpec, Rows, fit_scales, make_problem, standardised
from polytask.supervised.problem import Problem

CLASSES = 10  # outputs of every head, used or not, so that one program trains all tasks
COUNTS = (1_000, 300, 300)
PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "chelsea", "coffee"),
    *("coins", "grass", "gravel", "moon", "rocket"),
)
TASKS = {"digits": ("digit", "rotation", "parity"), "photographs": ("photograph", "rotation", "blur")}
"""The tasks of each set, which a trunk learns after it has learned to tell the first five classes."""


def problems(name: str, seed: int) -> dict[str, Problem]:
    """By task of a set, and "first" for the first five classes; each standardised, its parts disjoint."""
    images, labels = _SETS[name](seed)
    draw = random.generator(seed, f"small images: {name}")
    quarter = draw.integers(4, size=len(images))
    turned = np.stack([np.rot90(image, turns) for image, turns in zip(images, quarter, strict=True)])
    found = {
        "first": (images, np.where(labels < 5, labels, -1)),
        TASKS[name][0]: (images, labels),
        "rotation": (turned, quarter),
    }
    if name == "digits":
        found["parity"] = (images, labels % 2)
    else:
        blurred = draw.integers(2, size=len(images))
        found["blur"] = (np.where(blurred[:, None, None] == 1, _blur(images), images), blurred)
    return {task: _problem(*pair) for task, pair in found.items()}


def _problem(images: Float[np.ndarray, "rows 8 8"], labels: Int[np.ndarray, " rows"]) -> Problem:
    ends = np.cumsum((0, *COUNTS))
    parts = [Rows(images[a:b], {"task": labels[a:b]}) for a, b in itertools.pairwise(ends)]
    train, validation, test = parts
    problem = make_problem("task", [HeadSpec("task", "classes", CLASSES)], train, validation, test)
    return standardised(problem, fit_scales(problem))


def _digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    from polytask.problems import digits

    found = digits.load()
    order = random.generator(seed, "small images: digits").permutation(len(found.labels))[: sum(COUNTS)]
    return found.images[order], found.labels[order]


def _photographs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches of photographs at a quarter of their size; each part from columns of its own.

    Raises ImportError, with the command that installs it, if scikit-image is missing.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            "the photographs of this claim come with scikit-image; pip install scikit-image", name="skimage"
        ) from error
    small = [_quartered(np.asarray(getattr(data, name)(), np.float32) / 255) for name in PHOTOGRAPHS]
    draw, images, labels = random.generator(seed, "small images: photographs"), [], []
    for (low, high), count in zip(((0, 0.6), (0.6, 0.8), (0.8, 1)), COUNTS, strict=True):
        labels.append(draw.integers(len(small), size=count))
        for label in labels[-1]:
            height, width = small[label].shape
            row = draw.integers(height - 7)
            column = draw.integers(round(low * width), round(high * width) - 7)
            images.append(small[label][row : row + 8, column : column + 8])
    return np.stack(images), np.concatenate(labels)


def _quartered(photograph: np.ndarray) -> Float[np.ndarray, "height width"]:
    """The means of 4 x 4 pixels, in grey."""
    grey = photograph.mean(-1) if photograph.ndim == 3 else photograph
    height, width = (side // 4 for side in grey.shape)
    return grey[: 4 * height, : 4 * width].reshape(height, 4, width, 4).mean((1, 3))


def _blur(images: Float[np.ndarray, "rows 8 8"]) -> Float[np.ndarray, "rows 8 8"]:
    """The means of 3 x 3 pixels."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return np.mean([padded[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)], axis=0)


_SETS: Mapping[str, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {"digits": _digits, "photographs": _photographs}
