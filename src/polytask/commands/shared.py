"""What several commands need."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

INTERRUPTED = 130


def warn(text: str) -> None:
    """Prints a warning where it does not mix with what a program may read."""
    print(f"warning: {text}", file=sys.stderr)


def finished(training: Callable[[], bool], go_on: str) -> bool:
    """Whether a training reaches its end; where it does not, says how to go on."""
    from polytask.hosts import HostLostError, leave
    from polytask.runs.compilation import keep_compiled

    keep_compiled()
    try:
        done = training()
    except KeyboardInterrupt:
        stop_at_once(go_on)
    except HostLostError as error:
        leave(str(error))
    if not done:
        print(f"Stopped; a checkpoint is saved. Go on with\n  {go_on}", file=sys.stderr)
    return done


def stop_at_once(go_on: str) -> NoReturn:
    """Ends the process after a second Ctrl-C; `go_on` is the command that continues the run."""
    print(f"\nStopped at once, without a checkpoint. Go on from the last one with\n  {go_on}", file=sys.stderr)
    sys.stdout.flush()
    os._exit(INTERRUPTED)  # an orderly end may crash where JAX was cut off while it compiled


def conclude(runs: Sequence[Path], file: Path) -> None:
    """Prints the final table of runs and writes their report."""
    from rich.console import Console

    from polytask.report import render_table, write_report

    render_table(runs, Console())
    written = write_report(runs, file)
    print(f"\nreport  {written}")
