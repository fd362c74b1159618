"""`polytask report`."""

from pathlib import Path
from typing import Annotated

import tyro


def report(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_report, prog="polytask report", args=arguments)


_Runs = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="")]

_File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]


def _report(
    runs: _Runs,
    /,
    out: _File = None,
    csv: _File = None,
    figures: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None,
) -> int:
    """Prints the final table, and writes a report: one file, no network needed.

    Runs that differ only in their seed are taken as seeds of one method.

    Others are compared; the first is the one to beat.

    Args:
        runs: Run folders, or the folder of one sweep.
        out: The file to write; by default report.html, in the folder of a single run, else here.
        csv: Also write every number that was evaluated and logged as CSV, a number a line.
        figures: Also write the main charts into this folder, as PNG and SVG.
    """
    from polytask.commands.shared import conclude
    from polytask.sweeps.config import is_sweep

    if not runs:
        raise ValueError("name at least one run folder")
    if len(runs) == 1 and is_sweep(runs[0]):
        report_sweep(runs[0], out)
        return 0
    file = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    conclude(runs, file)
    if csv:
        from polytask.report.frame import write_csv

        print(f"csv     {write_csv(runs, csv)}")
    if figures:
        from polytask.report.pictures import write_figures

        print(f"figures {', '.join(map(str, write_figures(runs, figures)))}")
    return 0


def report_sweep(folder: Path, out: Path | None = None) -> None:
    """Prints what a sweep found, and writes its report and its results as a table."""
    from rich.console import Console

    from polytask.report import sweep, write_report

    found = sweep.read_sweep(folder)
    sweep.render(found, Console())
    results = sweep.write_results(found)
    print(f"\nresults {results}")
    print(f"report  {write_report(sweep.shown_runs(found), out or folder / 'report.html', found)}")
