"""`polytask report`."""

from pathlib import Path
from typing import Annotated

import tyro


def report(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_report, prog="polytask report", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


_Runs = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="")]

_File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]


def _report(
    runs: _Runs,
    /,
    out: _File = None,
    csv: _File = None,
    figures: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None,
    film: bool = False,
    live: bool = False,
    port: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None,
) -> int:
    """Prints the final table, and writes a report: one file, no network needed.

    Runs that differ only in their seed are taken as seeds of one method.

    Others are compared; the first is the one to beat.

    Args:
        runs: Run folders, or the folder of one sweep.
        out: The file to write; by default report.html, in the folder of a single run, else here.
        csv: Also write every number that was evaluated and logged as CSV, a number a line.
        figures: Also write the main charts into this folder, as PNG and SVG.
        film: First film an episode of each task into RUN/videos, and show it; needs pip install -e '.[official]'.
        live: Serve the report to browsers on this machine instead, and follow the runs while they train; Ctrl-C ends.
        port: Where --live serves; by default a free one.
    """
    from polytask.commands.shared import conclude
    from polytask.sweeps.config import is_sweep

    if not runs:
        raise ValueError("name at least one run folder")
    if port is not None and not live:
        raise ValueError("--port is where --live serves: add --live")
    if live and (out or csv or figures):
        raise ValueError("--live serves the report and writes no file: leave --live out, or --out, --csv and --figures")
    if len(runs) == 1 and is_sweep(runs[0]):
        if live or film:
            raise ValueError("--live and --film are about runs, not sweeps: name some of the sweep's run folders")
        report_sweep(runs[0], out)
        return 0
    if film:
        _film(runs)
    if live:
        return _serve(runs, port or 0)
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


def _film(runs: tuple[Path, ...]) -> None:
    """Videos of the newest checkpoints, each task's of the first run that has it."""
    from polytask.commands.shared import warn
    from polytask.policies.measure import film
    from polytask.policies.policy import Policy
    from polytask.policies.video import VideoError, prepare
    from polytask.training import kinds

    filmed: set[str] = set()
    for run in runs:
        policy = kinds.load(run)
        if not isinstance(policy, Policy):
            warn(f"{run} has learned nothing that acts in a simulator, so there is nothing to film")
            continue
        tasks = [name for name in policy.tasks.names if name not in filmed]
        try:
            prepare(policy.tasks.specs)
            film(policy, run, tasks)
        except VideoError as error:
            warn(f"the report shows no film: {error}")
            return
        filmed.update(tasks)


def _serve(runs: tuple[Path, ...], port: int) -> int:
    from polytask.report.live import server

    with server(runs, port) as serving:
        print(f"http://127.0.0.1:{serving.server_port}/ shows the report and follows it; Ctrl-C ends", flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
