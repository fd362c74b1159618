"""The lines about a training run that `polytask train` prints before it starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from polytask.training.config import RunConfig

if TYPE_CHECKING:
    from rich.console import Console


def print_lines(console: "Console", lines: Mapping[str, str], config: RunConfig, runs: Mapping[int, Path]) -> None:
    """Prints a line for each label, then what every kind of training has: affinity, seeds and run folders."""
    common = {
        **({"affinity": f"measured every {config.affinity_every:,} steps"} if config.affinity_every else {}),
        "seed": ", ".join(map(str, runs)),
        "run": ", ".join(map(str, runs.values())),
    }
    for label, text in {**lines, **common}.items():
        console.print(f"{label:<7} {text}", markup=False, soft_wrap=True)
    console.print()
