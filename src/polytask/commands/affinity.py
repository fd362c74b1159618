"""`polytask affinity`."""

from pathlib import Path
from typing import Annotated

import tyro

_Run = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
_Optional = tyro.conf.arg(help_behavior_hint="")


def affinity(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_affinity, prog="polytask affinity", args=arguments)


def _affinity(
    run: _Run,
    /,
    measure: Annotated[str | None, _Optional] = None,
    part: Annotated[str | None, _Optional] = None,
    until: Annotated[int | None, _Optional] = None,
) -> int:
    """Shows what the tasks of a run do to each other: who helps and who hurts whom.

    The run must have recorded affinity (affinity.jsonl in its folder).

    Args:
        run: A run folder.
        measure: transference, gain, decrease, cosine, magnitude, conflict or curvature; by default an effect.
        part: Whose losses, such as critic or actor; by default the critic's where there are several.
        until: Average up to this step only; by default to where training stopped early, else all.
    """
    from rich.console import Console

    from polytask.affinity.record import pool
    from polytask.commands.shared import warn
    from polytask.report.affinity import first_measure
    from polytask.report.affinity_table import render_affinity
    from polytask.runs.affinity_log import read_affinity

    records, stopped, damaged = read_affinity(run)
    if damaged:
        warn(f"affinity.jsonl: lines {', '.join(map(str, damaged[:5]))} could not be read and were left out")
    until = stopped if until is None else until
    chosen = pool(records, measure or first_measure(records), part, until)
    recorded = {r.measure for r in records if r.part == chosen.part}
    conflict = pool(records, "conflict", chosen.part, until) if "conflict" in recorded else None
    render_affinity(chosen, conflict, Console())
    return 0
