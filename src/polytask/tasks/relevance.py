"""What each task counts in a loss: NAME=WEIGHT, as a person writes it, to an array."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from polytask.tasks.spec import UnknownTaskError


def relevance(entries: Sequence[str], names: Sequence[str], flag: str) -> Float[np.ndarray, " tasks"]:
    """The weight of each task, from entries NAME=WEIGHT; 1 where none names it.

    Raises UnknownTaskError, a ValueError, for an unknown name, and ValueError for weights that are not positive
    numbers; `flag` is what the message calls the entries.
    """
    weights = np.ones(len(names), np.float32)
    for entry in entries:
        name, equals, given = entry.rpartition("=")
        if not equals:
            raise ValueError(f"{flag} {entry}: give NAME=WEIGHT of {', '.join(names)}")
        if name not in names:
            raise UnknownTaskError(name, names, f"{flag} takes NAME=WEIGHT of {', '.join(names)}.")
        try:
            weight = float(given)
        except ValueError:
            weight = -1.0
        if not 0 < weight < np.inf:
            raise ValueError(f"{flag} {entry}: the weight must be a number above 0; leave out a task that counts none")
        weights[list(names).index(name)] = weight
    return weights


def within(entries: Sequence[str], group: Sequence[str]) -> tuple[str, ...]:
    """The entries that are about tasks of a group; where none is, one that changes nothing."""
    own = tuple(entry for entry in entries if entry.rpartition("=")[0] in group)
    return own or (f"{group[0]}=1",) * bool(entries)
