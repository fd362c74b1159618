"""Digit attributes: up to forty things to tell from one picture of a digit; many heads on one small trunk."""

import numpy as np
from jaxtyping import Float, Int

from polytask.problems import digits
from polytask.supervised.problem import Problem, Rows, make_problem
from polytask.supervised.spec import HeadSpec

# Yes or no by which digit it is.
_SETS = {
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "above-four": (5, 6, 7, 8, 9),
    "multiple-of-three": (0, 3, 6, 9),
    "square": (0, 1, 4, 9),
    "power-of-two": (1, 2, 4, 8),
    "fibonacci": (0, 1, 2, 3, 5, 8),
    "has-loop": (0, 6, 8, 9),
    # The seven bars of a digital clock.
    "bar-top": (0, 2, 3, 5, 6, 7, 8, 9),
    "bar-upper-left": (0, 4, 5, 6, 8, 9),
    "bar-upper-right": (0, 1, 2, 3, 4, 7, 8, 9),
    "bar-middle": (2, 3, 4, 5, 6, 8, 9),
    "bar-lower-left": (0, 2, 6, 8),
    "bar-lower-right": (0, 1, 3, 4, 5, 6, 7, 8, 9),
    "bar-bottom": (0, 2, 3, 5, 6, 8, 9),
    **{f"is-{digit}": (digit,) for digit in range(10)},
}
_ROW, _COLUMN = (np.arange(8) - 3.5)[:, None] * np.ones(8), (np.arange(8) - 3.5) * np.ones((8, 1))


def _moment(images: Float[np.ndarray, "n 8 8"], weights: Float[np.ndarray, "8 8"]) -> Float[np.ndarray, " n"]:
    """The ink-weighted mean of `weights`."""
    return (images * weights).sum((1, 2)) / images.sum((1, 2))


def _measures(images: Float[np.ndarray, "n 8 8"], labels: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """Numbers: of the picture, and of the digit it shows."""
    row, column = _moment(images, _ROW), _moment(images, _COLUMN)
    bars = np.sum([np.isin(labels, members) for name, members in _SETS.items() if name.startswith("bar-")], axis=0)
    return {
        "value": labels,
        "bars": bars,
        "ink": images.sum((1, 2)),
        "height-of-ink": -row,
        "spread-vertical": np.sqrt(_moment(images, _ROW**2) - row**2),
        "spread-horizontal": np.sqrt(_moment(images, _COLUMN**2) - column**2),
        "slant": _moment(images, _ROW * _COLUMN) - row * column,
        "ink-in-centre": _moment(images, (np.maximum(abs(_ROW), abs(_COLUMN)) < 2).astype(float)),
        "mirror-left-right": np.abs(images - images[:, :, ::-1]).mean((1, 2)),
        "mirror-up-down": np.abs(images - images[:, ::-1]).mean((1, 2)),
        "half-turn": np.abs(images - images[:, ::-1, ::-1]).mean((1, 2)),
        "edges-vertical": np.abs(np.diff(images, axis=2)).mean((1, 2)),
        "edges-horizontal": np.abs(np.diff(images, axis=1)).mean((1, 2)),
        "contrast": images.std((1, 2)),
        "crossings-middle": (np.diff((images[:, 4] > 0.5).astype(int), axis=1) != 0).sum(1),
    }


def _interleaved() -> tuple[tuple[str, str], ...]:
    """(name, kind) of all forty: an answer and a number in turn, then the answers that are left."""
    answers, numbers = list(_SETS), list(_measures(np.ones((1, 8, 8)), np.zeros(1, int)))
    order: list[tuple[str, str]] = []
    while answers or numbers:
        order += [(name, "binary") for name in answers[:1]]
        order += [(name, "regression") for name in numbers[:1]]
        answers, numbers = answers[1:], numbers[1:]
    return tuple(order)


ATTRIBUTES = _interleaved()
"""The name and the kind of all forty attributes, in the order in which a problem with fewer takes them."""


def digit_attributes(seed: int = 0, heads: int = 10) -> Problem:
    """The first `heads` (2 to 40) of `ATTRIBUTES`, over all 1,797 digits; 60, 20 and 20 % of them, disjoint.

    Numbers are scaled to mean 0 and deviation 1 over the training rows. Deterministic by `seed`, which draws the split.
    Raises ValueError for another number of heads.
    """
    if not 2 <= heads <= len(ATTRIBUTES):
        raise ValueError(f"digit-attributes has 2 to {len(ATTRIBUTES)} heads, not {heads}")
    found = digits.load()
    train, validation, test = digits.disjoint_parts(seed)
    measured = _measures(found.images.astype(np.float64), found.labels)
    targets: dict[str, np.ndarray] = {}
    for name, kind in ATTRIBUTES[:heads]:
        if kind == "binary":
            targets[name] = np.isin(found.labels, _SETS[name])
        else:
            own = measured[name]
            targets[name] = (own - own[train].mean()) / own[train].std()
    tasks = tuple(HeadSpec(name, "binary" if kind == "binary" else "regression") for name, kind in ATTRIBUTES[:heads])

    def held(part: np.ndarray) -> Rows:
        return Rows(found.images[part], {name: values[part] for name, values in targets.items()})

    return make_problem(f"digit-attributes-{heads}", tasks, held(train), held(validation), held(test))
