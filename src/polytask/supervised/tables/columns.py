"""What becomes of the columns that are inputs: numbers, which a network takes, fitted on the training rows only."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from polytask.supervised.tables.reading import Column, Frame, pandas

LEVELS = 50
"""A category has at most so many levels; others are as one that was never seen."""
_FREE = 20  # texts of which more than so many, and than half of all, differ are free text or names
_ID = re.compile(r"(^|[_ .-])(id|uuid|guid|key)$|^index$|^unnamed: \d+$", re.IGNORECASE)
_DATE = re.compile(r"\d{4}[-/]\d{2}([-/]\d{2})?([T ].*)?")
_PHASES = {"year": 365.2425, "week": 7.0, "day": 1.0}  # days


@dataclasses.dataclass(frozen=True)
class Input:
    """A column that is an input.

    | kind | inputs | missing |
    |---|---|---|
    | number | the number; true is 1 | `fill`, the median; if `marked`, another input is 1 where it is missing |
    | category | one for each of `levels`, 1 for that of the row | the level "" if the training rows have it, or zeros |
    | date | by `levels`: "days" since 1970, sine and cosine of the phase in "year", "week" and "day" | as a number |

    A level that was never seen is all zeros.
    """

    name: str
    kind: Literal["number", "category", "date"]
    levels: tuple[str, ...] = ()
    fill: float = 0.0
    marked: bool = False

    @property
    def width(self) -> int:
        """How many inputs it is."""
        each = {"number": 1, "category": len(self.levels), "date": sum(1 + (p != "days") for p in self.levels)}
        return each[self.kind] + self.marked


def fit_inputs(
    frame: Frame, train: np.ndarray, names: Sequence[str], timed: str = ""
) -> tuple[tuple[Input, ...], tuple[str, ...]]:
    """The inputs among the columns of these names, and a sentence for each column that is none.

    - `train`: the numbers of the training rows; `timed`: a column of dates by which rows were split, whose count of
      days is left out, since no row to come has one of those that were seen.
    """
    inputs: list[Input] = []
    notes: list[str] = []
    for name in names:
        column = frame[name]
        found = _fit(column, column.iloc[train], name == timed)
        if isinstance(found, Input):
            inputs.append(found)
            seen = texts(column.iloc[train]).nunique() if found.kind == "category" else 0
            if seen > LEVELS:
                notes.append(f"{name}: its {LEVELS} most frequent texts of {seen:,}; others count as unknown")
        else:
            notes.append(f"{name}: left out, {found}")
    return tuple(inputs), tuple(notes)


def encode(inputs: Sequence[Input], frame: Frame) -> Float[np.ndarray, "rows inputs"]:
    """The numbers of all inputs, side by side.

    Raises ValueError for a text where there should be a number or a date.
    """
    parts = [_encode(one, frame[one.name]) for one in inputs]
    return np.concatenate(parts, axis=1).astype(np.float32)


def is_date(column: Column) -> bool:
    """Whether a column holds dates: of that type, or texts that all begin as 2024-01-31 or 2024/01."""
    types = pandas().api.types
    if types.is_datetime64_any_dtype(column):
        return True
    if types.is_numeric_dtype(column) or types.is_bool_dtype(column):
        return False
    known = column.dropna().astype(str)
    return len(known) > 0 and bool(known.map(lambda text: _DATE.fullmatch(text) is not None).all()) and _parses(known)


def days(column: Column) -> Float[np.ndarray, " rows"]:
    """Days since 1970 in UTC, NaN where there is no date. Raises ValueError for a text that is no date."""
    pd = pandas()
    parsed = pd.to_datetime(column, errors="coerce", format="mixed", utc=True)
    _refuse(column, parsed, "date, such as 2024-01-31")
    epoch = pd.Timestamp(0, tz="UTC")
    return ((parsed - epoch) / pd.Timedelta(days=1)).to_numpy(np.float64, na_value=np.nan)


def numbers(column: Column) -> Float[np.ndarray, " rows"]:
    """Numbers, NaN where one is missing or not finite. Raises ValueError for a text that is no number."""
    pd = pandas()
    parsed = pd.to_numeric(column, errors="coerce")
    _refuse(column, parsed, "number")
    values = parsed.astype("Float64").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def texts(column: Column) -> Column:
    """Texts, missing where a value is; a whole number reads alike whether the file has 3 or 3.0."""
    return column.dropna().map(lambda value: str(int(value)) if _whole(value) else str(value)).reindex(column.index)


def is_number(column: Column) -> bool:
    """Whether a column holds numbers, or yes and no as a type."""
    types = pandas().api.types
    return types.is_numeric_dtype(column) or types.is_bool_dtype(column)


def _fit(column: Column, train: Column, timed: bool) -> Input | str:
    """How a column is encoded, or why it is left out."""
    name = str(column.name)
    if not train.notna().any():
        return "it is empty in the training rows"
    if is_number(column):
        if timed:
            return "the rows are split by it"
        values = numbers(train)
        if not np.isfinite(values).any():
            return "it is empty in the training rows"
        if _ID.search(name) and np.unique(values).size == len(train) and (values == np.round(values)).all():
            return "an id, another number in every row"
        return _varied(Input(name, "number", (), float(np.nanmedian(values)), bool(np.isnan(values).any())), train)
    if is_date(column):
        when = days(train)
        shown = ("days", *_PHASES) if not timed else tuple(_PHASES)
        fill, marked = float(np.nanmedian(when)), bool(np.isnan(when).any())
        # A phase in which all dates agree, such as the hour of days, says nothing.
        parts = [part for part in shown if np.ptp(_date_part(when[np.isfinite(when)], part), axis=0).max() > 1e-6]
        return _varied(Input(name, "date", tuple(parts), fill, marked), train)
    known = texts(train)
    counts = known.value_counts()
    if len(counts) > max(_FREE, known.notna().sum() / 2):
        return f"{len(counts):,} different texts in {int(known.notna().sum()):,} rows, so free text or an id"
    frequent = sorted(counts.index[:LEVELS])
    levels = (*frequent, "") if known.isna().any() else tuple(frequent)
    return _varied(Input(name, "category", levels), train)


def _varied(found: Input, train: Column) -> Input | str:
    return "it is the same in all training rows" if np.ptp(_encode(found, train), axis=0).max(initial=0) == 0 else found


def _encode(one: Input, column: Column) -> Float[np.ndarray, "rows inputs"]:
    if one.kind == "category":
        known = texts(column).fillna("").astype(str).to_numpy()
        return np.stack([known == level for level in one.levels], axis=1).astype(np.float64)
    values = numbers(column) if one.kind == "number" else days(column)
    missing = np.isnan(values)
    values = np.where(missing, one.fill, values)
    shown = [values[:, None]] if one.kind == "number" else [_date_part(values, part) for part in one.levels]
    return np.concatenate([*shown, missing[:, None]] if one.marked else shown or [np.zeros((len(column), 0))], axis=1)


def _date_part(when: Float[np.ndarray, " rows"], part: str) -> Float[np.ndarray, "rows inputs"]:
    if part == "days":
        return when[:, None]
    phase = 2 * np.pi * (when % _PHASES[part]) / _PHASES[part]
    return np.stack([np.sin(phase), np.cos(phase)], axis=1)


def _refuse(column: Column, parsed: Column, wanted: str) -> None:
    """Raises ValueError for the first value that could not be read as what it should be."""
    wrong = column[column.notna() & parsed.isna()]
    if len(wrong):
        raise ValueError(
            f"column '{column.name}', row {int(wrong.index[0]) + 1}: {str(wrong.iloc[0])[:40]!r} is no {wanted}; "
            "mend it, or leave the cell empty"
        )


def _parses(known: Column) -> bool:
    return bool(pandas().to_datetime(known, errors="coerce", format="mixed", utc=True).notna().all())


def _whole(value: object) -> bool:
    return isinstance(value, float | np.floating) and np.isfinite(value) and value == round(float(value))
