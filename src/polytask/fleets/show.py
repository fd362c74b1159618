"""What `polytask train` and `evaluate` show of fleets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polytask.fleets.names import size_of
from polytask.training.show import print_lines

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.fleets.config import FleetConfig


def show(config: "FleetConfig", runs: Mapping[int, Path]) -> None:
    """Prints what will be trained."""
    from rich.console import Console

    low, high = config.ranges
    reach = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    sizes = ", ".join("{} vehicles and {} sites".format(*size_of(name)) for name in config.tasks)
    lines = {
        "fleets": sizes,
        "": f"ranges {reach} in a square of side 1, {config.depots} depot, {config.values} values"
        + (f", service up to {config.service:g}" if config.service else ""),
        "policy": f"{config.policy}, {config.depth} layers of attention, width {config.width}",
        "step": f"adam {config.learning_rate:g}, {config.batch_size} instances of {config.samples} samples, "
        f"{config.baseline} baseline",
        "steps": f"{config.steps:,}"
        + (f": {config.pretrain:,} of the router alone, then both in turn" if config.policy == "bilevel" else ""),
        " ": f"evaluated every {config.eval_every:,} on {config.instances} instances, saved every "
        f"{config.checkpoint_every:,}",
    }
    print_lines(Console(highlight=False), lines, config, runs)


def measured(tested: Mapping[str, Any]) -> "Table":
    """What each way of finding routes serves."""
    from rich.table import Table

    title = f"step {tested['step']:,}, {tested['instances']:,} instances"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for heading in ("value", "95 %", "ms each"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, ways in tested["tasks"].items():
        table.add_row(name)
        for way, found in ways.items():
            interval = f"{found['low']:.1f} to {found['high']:.1f}"
            table.add_row(f"  {way}", f"{found['value']:.1f}", interval, f"{found['milliseconds']:.1f}")
    return table
