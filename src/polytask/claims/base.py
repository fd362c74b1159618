"""What a claim is: one statement of a paper, how it is checked, and what was found."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["holds", "does not hold", "no difference seen", "mixed"]

Log = Callable[[str], None]
"""Tells a person how far a run has come, a short line at a time."""


@dataclass(frozen=True)
class Row:
    """One line of a claim's table.

    - `ours`: the number measured here; None where it could not be.
    - `low`, `high`: its 95 % interval over seeds; None where there is one seed.
    - `paper`: the published number as text, with its source; "" where none was published.
    """

    label: str
    ours: float | None
    low: float | None = None
    high: float | None = None
    paper: str = ""
    seeds: int = 1


@dataclass(frozen=True)
class Finding:
    """What came out of a run of a claim.

    - `remarks`: plain sentences for a person.
    - `figures`: by name; each becomes `<claim>-<name>.png`.
    - `tables`: whole grids, curves and settings, as JSON knows them.
    """

    rows: tuple[Row, ...]
    verdict: Verdict
    remarks: tuple[str, ...] = ()
    figures: "Mapping[str, Figure]" = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    - `run(full, output, log)`: checks it, in minutes or in full. What a long run needs to go on where it was
      interrupted it keeps below the folder `output`.
    - `fast`, `full`: what the two modes do and how long they take, such as "two seeds, 30 s".
    """

    name: str
    paper: str
    statement: str
    run: Callable[[bool, Path, Log], Finding]
    fast: str
    full: str


def check(finding: Finding) -> None:
    """Raises ValueError where a finding has no rows, a number that is not finite, or one outside its interval."""
    if not finding.rows:
        raise ValueError("a finding needs at least one row")
    for row in finding.rows:
        numbers = [number for number in (row.ours, row.low, row.high) if number is not None]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"row '{row.label}' holds {row.ours} from {row.low} to {row.high}: not finite")
        if (row.low is None) != (row.high is None):
            raise ValueError(f"row '{row.label}' has one bound of its interval only")
        if row.ours is not None and row.low is not None and row.high is not None:
            slack = 1e-6 * max(abs(row.low), abs(row.high))  # of an interval without width, as of equal seeds
            if not row.low - slack <= row.ours <= row.high + slack:
                raise ValueError(f"row '{row.label}': {row.ours} is not between {row.low} and {row.high}")
