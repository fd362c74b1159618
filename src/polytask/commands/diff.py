"""`polytask diff`."""

from pathlib import Path
from typing import Annotated

import tyro

from polytask.commands.shared import warn


def diff(arguments: list[str]) -> int:
    """Parses and runs; 0 only if nothing differs."""
    return tyro.cli(_diff, prog="polytask diff", args=arguments)


def _diff(
    a: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="A")],
    b: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="B")],
) -> int:
    """Compares two checkpoints bit for bit: learned state, replay and counters.

    Names every leaf that differs, and by how much.

    Exits with 0 if they are identical, else with 1.

    Args:
        a: A run folder, for its newest checkpoint, or the folder of a checkpoint.
        b: What to compare it with, likewise.
    """
    from rich.console import Console

    from polytask.runs.diff import diff, table

    differences = diff(a, b, warn)
    Console().print(table(differences, a, b))
    return 1 if differences else 0
