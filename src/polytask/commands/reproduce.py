"""`polytask reproduce`."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from polytask.claims.base import Claim, Finding, Row

_Names = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME ...]", help_behavior_hint="")]
_Folder = Annotated[Path, tyro.conf.arg(metavar="DIR")]


def reproduce(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_reproduce, prog="polytask reproduce", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def _reproduce(names: _Names = (), /, full: bool = False, output: _Folder = Path("claims")) -> int:
    """Checks statements of papers by running them; shows their numbers beside ours.

    Without a name it lists the claims. Each run writes NAME.json and figures.

    Args:
        names: Claims, or 'all'.
        full: All seeds and sizes, as in docs/claims.md, instead of a run of minutes or less.
        output: Where results go, and what a long run needs to go on where it was interrupted.
    """
    from rich.console import Console

    from polytask.claims.registry import every_claim, find

    console = Console(highlight=False, soft_wrap=False)
    if not names:
        _list(list(every_claim().values()), console)
        return 0
    chosen = find(list(names))
    from polytask.runs.compilation import keep_compiled

    keep_compiled()
    output.mkdir(parents=True, exist_ok=True)
    verdicts = {}
    for claim in chosen:
        _heading(claim, full, console)
        start = time.perf_counter()
        finding = claim.run(full, output, lambda text: console.print(text, style="dim", markup=False))
        seconds = time.perf_counter() - start
        files = write(claim, finding, output, full=full, seconds=seconds)
        _show(finding, console)
        console.print(f"\n{seconds:.0f} s; {', '.join(str(file) for file in files)}\n", style="dim", markup=False)
        verdicts[claim.name] = finding.verdict
    if len(chosen) > 1:
        width = max(map(len, verdicts))
        for name, verdict in verdicts.items():
            console.print(f"{name:<{width}}  {verdict}", markup=False)
    return 0


def write(claim: "Claim", finding: "Finding", output: Path, *, full: bool, seconds: float) -> list[Path]:
    """Writes NAME.json and a NAME-<figure>.png for each figure; returns the files.

    Raises StorageError if they cannot be written, ValueError if the finding is not sound.
    """
    from polytask.claims.base import check
    from polytask.runs import provenance, storage
    from polytask.runs.loggers import plain

    check(finding)
    record = {
        "claim": claim.name,
        "paper": claim.paper,
        "statement": claim.statement,
        "mode": "full" if full else "fast",
        "verdict": finding.verdict,
        "rows": [dataclasses.asdict(row) for row in finding.rows],
        "remarks": list(finding.remarks),
        "tables": plain(finding.tables),
        "seconds": round(seconds, 1),
        "provenance": provenance.collect(),
    }
    file = output / f"{claim.name}.json"
    with storage.writing(output, output):
        storage.replace(file, json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")
        files = [file]
        for name, figure in finding.figures.items():
            files.append(output / f"{claim.name}-{name}.png")
            figure.savefig(files[-1])
    return files


def _list(claims: "Sequence[Claim]", console: "Console") -> None:
    for claim in claims:
        console.print(f"[bold]{claim.name}[/]  [dim]{claim.paper}[/]")
        for line in (claim.statement, f"fast: {claim.fast}; full: {claim.full}"):
            _indented(line, console)
    console.print("\n`polytask reproduce NAME` runs one, with --full as in docs/claims.md; `all` runs all.")


def _indented(text: str, console: "Console", style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))


def _heading(claim: "Claim", full: bool, console: "Console") -> None:
    console.print(f"[bold]{claim.name}[/]  [dim]{claim.paper}[/]")
    _indented(claim.statement, console)
    _indented(f"full: {claim.full}" if full else f"fast: {claim.fast}", console)


def _show(finding: "Finding", console: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    intervals = any(row.low is not None for row in finding.rows)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("", overflow="fold", ratio=3)
    table.add_column("ours", justify="right", no_wrap=True)
    if intervals:
        table.add_column("95 % over seeds", justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    published = any(row.paper for row in finding.rows)
    if published:
        table.add_column("paper", overflow="fold", ratio=2)
    for row in finding.rows:
        cells = [row.label, _number(row.ours)]
        cells += [_interval(row)] if intervals else []
        cells += [str(row.seeds), *([row.paper] if published else [])]
        table.add_row(*map(Text, cells))
    console.print()
    console.print(table)
    console.print(f"\n[bold]{finding.verdict}[/]")
    for remark in finding.remarks:
        console.print(Text(remark))


def _interval(row: "Row") -> str:
    return "" if row.low is None else f"{_number(row.low)} to {_number(row.high)}"


def _number(value: float | None) -> str:
    """Four digits or so; a dash where there is none."""
    if value is None:
        return "–"
    if value.is_integer() and 100 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        decimals = 4 if abs(value) < 1 else 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1
        return f"{value:.{decimals}f}"
    return f"{value:.2e}"
