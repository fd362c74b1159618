"""Claims by name."""

import difflib
import importlib

from polytask import claims
from polytask.claims.base import Claim


def every_claim() -> dict[str, Claim]:
    """All claims by name, in the order of docs/claims.md."""
    found = [importlib.import_module(f"polytask.claims.{module}").CLAIM for module in claims.MODULES]
    return {claim.name: claim for claim in found}


def find(names: list[str]) -> list[Claim]:
    """The claims of these names, each once, in the order given; "all" stands for all.

    Raises ValueError for a name that there is not, with the nearest.
    """
    known = every_claim()
    chosen: dict[str, Claim] = {}
    for name in names:
        if name == "all":
            chosen |= known
        elif name in known:
            chosen[name] = known[name]
        else:
            near = difflib.get_close_matches(name, known, 3, 0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}, and all"
            raise ValueError(f"there is no claim '{name}': {hint}")
    return list(chosen.values())
