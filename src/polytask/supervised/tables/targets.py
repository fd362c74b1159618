"""The columns to predict: what kind each is, and their labels."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from polytask.plugins import nearest
from polytask.supervised.spec import HeadSpec, Kind
from polytask.supervised.tables.columns import is_date, is_number, numbers, texts
from polytask.supervised.tables.reading import Column, Frame, pandas

KINDS = ("regression", "binary", "classes")
"""Of targets."""
CLASSES = 100  # more different texts than that are free text, unless a person says that they are classes
_FEW = 10  # whole numbers of which so many differ at most are classes

Label = str | int | float | bool


@dataclasses.dataclass(frozen=True)
class Target:
    """A column to predict.

    - `classes`: of binary, no and yes as they stand in the table, yes being the larger number or the later in the
      alphabet; of classes, each class, in the order of its number. Texts, whole numbers, numbers or booleans.
    """

    name: str
    kind: Kind
    classes: tuple[Label, ...] = ()

    @property
    def spec(self) -> HeadSpec:
        """The task."""
        return HeadSpec(self.name, self.kind, len(self.classes) if self.kind == "classes" else 1)

    @property
    def sentence(self) -> str:
        """What it is taken for."""
        if self.kind == "regression":
            return "a number"
        if self.kind == "binary":
            return f"yes is {self.classes[1]}, no is {self.classes[0]}"
        shown = ", ".join(map(str, self.classes[:6]))
        return f"{len(self.classes)} classes: {shown}{', ...' if len(self.classes) > 6 else ''}"


def make_targets(frame: Frame, names: Sequence[str], kinds: Mapping[str, str]) -> tuple[Target, ...]:
    """The targets of these names, of the `kinds` that are given, and guessed otherwise.

    Two different values are binary, texts are classes, and so are whole numbers of which at most ten differ; other
    numbers are regressions. Raises ValueError for a column that is constant or empty, for one that can be nothing of
    this, and for a kind that it cannot be.
    """
    for name, kind in kinds.items():
        if name not in names:
            raise ValueError(f"--kind {name}={kind}: {name} is no target; {nearest(name, names)}")
        if kind not in KINDS:
            raise ValueError(f"--kind {name}={kind}: a kind is {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    return tuple(_target(frame[name], kinds.get(name, "")) for name in names)


def labels(target: Target, column: Column) -> Shaped[np.ndarray, " rows"]:
    """The labels of all rows: numbers with NaN where one is missing, or class numbers with -1."""
    if target.kind == "regression":
        return numbers(column)
    places = {_text(label): i for i, label in enumerate(target.classes)}
    found = texts(column).map(places).to_numpy(np.float64, na_value=np.nan)
    return found if target.kind == "binary" else np.where(np.isnan(found), -1, found).astype(np.int64)


def _target(column: Column, asked: str) -> Target:
    name = str(column.name)
    known = column.dropna()
    if not len(known):
        raise ValueError(f"target '{name}' is empty in all rows; leave it out of --targets")
    values = _values(known)
    if len(values) == 1:
        raise ValueError(f"target '{name}' is {values[0]} in all rows, so there is nothing to learn; leave it out")
    kind = asked or _guess(column, values)
    if kind == "regression":
        if not is_number(column):
            raise ValueError(f"target '{name}' holds texts such as {str(known.iloc[0])[:40]!r}, so it is no regression")
        return Target(name, "regression")
    if kind == "binary":
        if len(values) != 2:
            shown = ", ".join(map(str, values[:5]))
            raise ValueError(f"target '{name}' has {len(values):,} different values ({shown}, ...); binary has two")
        return Target(name, "binary", tuple(values))
    return Target(name, "classes", tuple(values))


def _guess(column: Column, values: Sequence[Label]) -> Kind:
    name = str(column.name)
    if len(values) == 2:
        return "binary"
    if is_number(column):
        whole = all(isinstance(value, int) for value in values)
        return "classes" if whole and len(values) <= _FEW else "regression"
    if is_date(column):
        raise ValueError(f"target '{name}' holds dates; make it a number, such as days from now")
    if len(values) > CLASSES:
        raise ValueError(
            f"target '{name}' has {len(values):,} different texts, so it looks like free text or an id, which cannot "
            f"be predicted; if they are classes, say --kind {name}=classes"
        )
    return "classes"


def _values(known: Column) -> list[Label]:
    """The different values in their order, as Python has them."""
    if not is_number(known):
        words = sorted((str(text) for text in texts(known).unique()), key=lambda text: (text.lower(), text))
        return [*words]
    if pandas().api.types.is_bool_dtype(known):
        return sorted(map(bool, known.unique()))
    found = np.unique(numbers(known))
    return [int(v) if v == round(v) else float(v) for v in found[np.isfinite(found)].tolist()]


def _text(label: Label) -> str:
    return str(int(label)) if isinstance(label, float) and label == round(label) else str(label)
