"""What several commands need."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import tyro

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.tasks.spec import TaskSpec

INTERRUPTED = 130
KEPT = tyro.conf.arg(help_behavior_hint="(default: as in the run)")


def warn(text: str) -> None:
    """Prints a warning where it does not mix with what a program may read."""
    print(f"warning: {text}", file=sys.stderr)


def value_of(arguments: Sequence[str], flag: str, default: str) -> str:
    """The value of a flag that has to be known before, or beside, the parsing of the others."""
    for argument, following in zip(arguments, [*arguments, default][1:], strict=True):
        if argument == flag:
            return following
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
    return default


def without(arguments: Sequence[str], flag: str) -> list[str]:
    """The arguments without a flag and its value."""
    at = next(i for i, argument in enumerate(arguments) if argument.partition("=")[0] == flag)
    return [*arguments[:at], *arguments[at + (1 if "=" in arguments[at] else 2) :]]


def affinity_in_full(arguments: Sequence[str]) -> list[str]:
    """The shorthand --affinity every=N as what it stands for."""
    every = value_of(arguments, "--affinity", "")
    if not every:
        return list(arguments)
    return [*without(arguments, "--affinity"), "--affinity-every", every.removeprefix("every=")]


def finished(training: Callable[[], bool], go_on: str) -> bool:
    """Whether a training reaches its end; where it does not, says how to go on."""
    from polytask.runtime.compilation import keep_compiled

    keep_compiled()
    try:
        done = training()
    except KeyboardInterrupt:
        stop_at_once(go_on)
    if not done:
        print(f"Stopped; a checkpoint is saved. Go on with\n  {go_on}", file=sys.stderr)
    return done


def stop_at_once(go_on: str) -> NoReturn:
    """Ends the process after a second Ctrl-C; `go_on` is the command that goes on with the run."""
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


def facts_table(rows: Sequence[tuple[str, "TaskSpec"]]) -> "Table":
    """Facts under a label each; fits in 80 columns with the suites' longest names."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("task", overflow="fold", min_width=24)
    for heading in ("obs", "act", "steps"):
        table.add_column(heading, justify="right")
    for heading in ("judged", "engine", "goals, rew."):
        table.add_column(heading, no_wrap=True)
    for label, spec in rows:
        sizes = [str(size) for size in (spec.observation_dim, spec.action_dim, spec.horizon)]
        judged = "success" if spec.success != "none" else "return"
        chosen = [spec.goals, spec.reward_version, *(f"{name}={value}" for name, value in spec.choices)]
        variant = ", ".join(fact for fact in chosen if fact)
        table.add_row(*map(Text, (label, *sizes, judged, spec.engine, variant)))
    return table
