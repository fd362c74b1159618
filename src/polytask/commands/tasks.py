"""`polytask tasks`."""

from typing import Annotated

import tyro


def tasks(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_tasks, prog="polytask tasks", args=arguments)


_Pattern = Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[PATTERN]", help_behavior_hint="")]


def _tasks(pattern: _Pattern = None, /) -> int:
    """Lists tasks and their facts.

    Sizes are of one observation and one action; the horizon is in steps.

    Args:
        pattern: A part of the name, a shell pattern ('dmc/*-run'), a set (metaworld/mt10), or gym/<part of an id>.
    """
    from rich.console import Console

    from polytask.commands.shared import facts_table
    from polytask.tasks.registry import catalogue, named_sets

    found = catalogue(pattern)
    if not found:
        raise ValueError(f"no task matches '{pattern}'; `polytask tasks` lists all, gym/<id> names a Gymnasium task")
    console = Console()
    console.print(facts_table([(spec.name, spec) for spec in found]))
    if pattern is None:
        console.print("\nNamed sets:", highlight=False)
        for name, members in named_sets().items():
            console.print(f"  {name:<16}{len(members):>3} tasks", highlight=False)
        console.print(
            "\nAlso gym/<id> for every Gymnasium environment with continuous actions, and\n"
            "gym/<module>:<callable> for your own.",
            highlight=False,
        )
    return 0
