"""The names of fleets' sizes; light, as the command line asks for them."""

import re

PREFIX = "fleets/"

_NAME = re.compile(r"u([1-9]\d*)-n([1-9]\d*)")


def size_of(name: str) -> tuple[int, int]:
    """Vehicles and sites of a name such as fleets/u4-n80. Raises ValueError for what is no such name."""
    match = _NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        raise ValueError(
            f"'{name}' names no fleet: write {PREFIX}u<vehicles>-n<sites>, such as {PREFIX}u4-n80 for 4 vehicles and "
            f"80 sites"
        )
    return int(match[1]), int(match[2])
