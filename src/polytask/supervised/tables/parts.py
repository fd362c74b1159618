"""Which rows of a table are for training, validation and test."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from polytask import random
from polytask.plugins import nearest
from polytask.supervised.tables.columns import days, is_date, is_number, numbers, texts
from polytask.supervised.tables.reading import Frame

FRACTIONS = (0.6, 0.2, 0.2)
_WORDS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev"), 1),
    **dict.fromkeys(("test", "testing", "holdout"), 2),
}


class Parts(NamedTuple):
    """The numbers of the rows of each part, and how they were chosen.

    - `column`: by which, "" for none; `timed`: whether by its order.
    """

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]
    test: Int[np.ndarray, " test"]
    sentence: str
    column: str = ""
    timed: bool = False


def make_parts(frame: Frame, split: str, seed: int, taken: Sequence[str]) -> Parts:
    """Three fifths of the rows for training, a fifth each for validation and test, as `split` has it:

    - "random": drawn, by `seed`.
    - "time", "time:COLUMN": in the order of the only column of dates, or of that one, dates or numbers.
    - "group:COLUMN": drawn, but rows of one value, such as a customer, stay together.
    - "COLUMN": it says train, validation or test; without validation a quarter of the training rows is drawn for it.

    `taken` are columns that cannot be meant. Raises ValueError for a column that is not there or does not say it, and
    where a part would be empty.
    """
    word, _, column = split.partition(":")
    if split == "random":
        parts = Parts(*_cut(random.generator(seed, "split").permutation(len(frame))), f"random, data seed {seed}")
    elif word == "time":
        parts = _by_time(frame, column or _dated(frame, taken))
    elif word == "group" and column:
        parts = _by_group(frame, known_column(frame, column, "--split"), seed)
    else:
        parts = _as_said(frame, known_column(frame, split, "--split"), seed)
    empty = [which for which in ("train", "validation", "test") if not len(getattr(parts, which))]
    if empty:
        raise ValueError(
            f"--split {split} leaves no rows for {' and '.join(empty)} of {len(frame):,} rows with a label"
        )
    return parts


def known_column(frame: Frame, name: str, flag: str) -> str:
    """The name. Raises ValueError, with the nearest, where the table has no such column."""
    if name not in frame.columns:
        raise ValueError(f"{flag}: the table has no column '{name}': {nearest(name, map(str, frame.columns))}")
    return name


def _cut(order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ends = np.round(np.cumsum(FRACTIONS)[:2] * len(order)).astype(int)
    first, second, third = np.split(order, ends)
    return first, second, third


def _dated(frame: Frame, taken: Sequence[str]) -> str:
    found = [str(name) for name in frame.columns if name not in taken and is_date(frame[name])]
    if len(found) != 1 and "time" in frame.columns:
        return "time"
    if len(found) != 1:
        there = f"columns of dates are {', '.join(found)}" if found else "no column holds dates such as 2024-01-31"
        raise ValueError(f"--split time: {there}; name the one to order by, as --split time:COLUMN")
    return found[0]


def _by_time(frame: Frame, name: str) -> Parts:
    column = frame[known_column(frame, name, "--split time")]
    when = numbers(column) if is_number(column) else days(column)
    missing = int(np.isnan(when).sum())
    if missing:
        raise ValueError(f"--split time: {missing:,} rows have no {name}; give it, or remove these rows")
    train, validation, test = _cut(np.argsort(when, kind="stable"))
    sentence = f"by {name}: the newest fifth for the test, the fifth before for validation"
    return Parts(train, validation, test, sentence, name, timed=True)


def _by_group(frame: Frame, name: str, seed: int) -> Parts:
    values = texts(frame[name]).fillna("").to_numpy()
    groups = np.unique(values.astype(str))
    mixed = groups[random.generator(seed, "split").permutation(len(groups))]
    train, validation, test = (np.flatnonzero(np.isin(values.astype(str), part)) for part in _cut(mixed))
    return Parts(train, validation, test, f"{len(groups):,} groups of {name}, each in one part, data seed {seed}", name)


def _as_said(frame: Frame, name: str, seed: int) -> Parts:
    said = texts(frame[name]).map(lambda text: _WORDS.get(str(text).strip().lower(), -1)).fillna(-1).to_numpy(int)
    if (said < 0).any():
        example = frame[name][said < 0].iloc[0]
        raise ValueError(
            f"--split {name}: the column has to say train, validation or test in every row, not {example!r}. To order "
            f"rows by it, --split time:{name}; to keep rows of one value together, --split group:{name}"
        )
    train, validation, test = (np.flatnonzero(said == part) for part in range(3))
    sentence = f"as column {name} says"
    if not len(validation):
        order = random.generator(seed, "split").permutation(len(train))
        validation, train = train[np.sort(order[: len(train) // 4])], train[np.sort(order[len(train) // 4 :])]
        sentence += ", and a quarter of its training rows for validation"
    return Parts(train, validation, test, sentence, name)
