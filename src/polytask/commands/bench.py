"""`polytask bench`."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.speed import Result


def bench(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_bench, prog="polytask bench", args=arguments)


def _bench(
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
) -> int:
    """Measures how fast this machine trains Meta-World's MT10, in a few minutes.

    Run it while nothing else computes; the load is shown.

    Args:
        output: Also append the figures, with commit, machine and versions, as a line of JSON to this file.
    """
    from rich.console import Console

    from polytask.runs import provenance
    from polytask.runs.compilation import keep_compiled
    from polytask.speed import measure

    keep_compiled()
    _append(output, "")  # what cannot be written should be known before minutes of measuring
    facts = _facts(provenance.collect())
    console = Console(highlight=False)
    console.print(_machine(facts), markup=False, soft_wrap=True)
    results = []
    with console.status("measuring ...") as status:
        for result in measure():
            results.append(result)
            status.update(f"measured: {result.name} ...")
    console.print(_table(results))
    _append(output, json.dumps({**facts, "results": [vars(result) for result in results]}) + "\n")
    if output is not None:
        print(f"\nappended to {output}")
    return 0


def _append(file: Path | None, text: str) -> None:
    """Writes at the end of a file, if there is one. Raises StorageError where it cannot be written."""
    from polytask.runs import storage

    if file is None:
        return
    with storage.writing(file, file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as stream:
            stream.write(text)


def _facts(session: dict[str, Any]) -> dict[str, Any]:
    """What has to be known to compare the figures with others."""
    kept = ("started", "git", "cpu", "cores", "memory_bytes", "devices", "python", "packages")
    return {**{name: session[name] for name in kept}, "load": round(os.getloadavg()[0], 2)}


def _machine(facts: dict[str, Any]) -> str:
    git, packages = facts["git"], facts["packages"]
    commit = f", commit {git['commit'][:7]}{' with changes' if git['dirty'] else ''}" if git else ""
    lines = [
        f"polytask {packages.get('polytask', '?')}{commit}, jax {packages['jax']}, envpool {packages['envpool']}",
        f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_bytes'] / 1e9:.0f} GB",
    ]
    if facts["load"] > 0.5:
        lines.append(f"Something else is running (load {facts['load']}): the figures are worse than the machine's.")
    return "\n".join(lines) + "\n"


def _table(results: "list[Result]") -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("Meta-World MT10")
    table.add_column("median", justify="right")
    table.add_column("best", justify="right")
    table.add_column("")
    table.add_column("", style="dim")
    for result in results:
        best = _number(result.best) if result.best != result.median else ""
        table.add_row(result.name, _number(result.median), best, result.unit, result.remark)
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
