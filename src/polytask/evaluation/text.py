"""Numbers as people read them."""

import math
from collections.abc import Sequence

from polytask.evaluation.statistics import Estimate

MISSING = "–"


def steps(value: float | int) -> str:
    """100000 as "100k", 1500000 as "1.5M"."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def duration(seconds: float | int | None) -> str:
    """4000 as "1 h 07 min"."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float | int) -> str:
    """Bytes as "1.2 GB" (powers of ten)."""
    if not math.isfinite(count):
        return MISSING
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= scale:
            return f"{count / scale:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{count:.0f}\N{NO-BREAK SPACE}B"


def score(value: float | None) -> str:
    """A score with two decimals."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.2f}"


def number(value: float | int | None) -> str:
    """A return or a loss: three to four significant digits, no exponent where it can be helped."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0 or abs(value) >= 1e7 or abs(value) < 1e-3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bounds(estimate: Estimate) -> str:
    """The ends of an interval."""
    return f"{estimate.low:.2f} to {estimate.high:.2f}" if estimate.has_interval else MISSING


def plural(count: int, noun: str) -> str:
    """A count and its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence: "a, b and c" or "a, b, c and 7 more"."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def short_names(names: Sequence[str]) -> list[str]:
    """Task names without their suite and version, where that keeps them apart."""
    bare = [n.split("/", 1)[-1] for n in names]
    shorter = [n.removesuffix("-v3").removesuffix("-v2") for n in bare]
    for candidate in (shorter, bare):
        if len(set(candidate)) == len(names):
            return candidate
    return list(names)
