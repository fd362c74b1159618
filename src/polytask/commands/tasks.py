"""`polytask tasks`."""

from typing import Annotated

import tyro

from polytask.datasets.names import is_data
from polytask.tasks.suite import PROBLEM_PREFIX


def tasks(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_tasks, prog="polytask tasks", args=arguments)


_Pattern = Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[PATTERN]", help_behavior_hint="")]


def _tasks(pattern: _Pattern = None, /) -> int:
    """Lists tasks and their facts.

    Sizes are of one observation and one action; the horizon is in steps.

    `polytask tasks problems` lists the problems to learn from data.

    `polytask tasks data:FILE` shows what a set of logged transitions holds.

    Args:
        pattern: A part of the name, a shell pattern ('dmc/*-run'), a group (metaworld/mt10, or mt10 alone),
            gym/<part of an id>; problems, or the name of one; data:FILE.
    """
    if pattern is not None and is_data(pattern):
        return _data(pattern)
    if pattern is not None and f"{pattern}/".startswith(PROBLEM_PREFIX):
        return _problems(pattern.removeprefix(PROBLEM_PREFIX.rstrip("/")).lstrip("/"))
    from rich.console import Console

    from polytask.online.show import task_table as online_tasks
    from polytask.tasks.registry import catalogue, known_names, matches, named_sets
    from polytask.tasks.spec import did_you_mean

    found = catalogue(pattern)
    groups = {name: members for name, members in named_sets().items() if matches(name, pattern)}
    if not found and not groups:
        nearest = did_you_mean(pattern or "", known_names())
        raise ValueError(
            f"no task matches '{pattern}'.{nearest} `polytask tasks` lists all, gym/<id> names a Gymnasium task"
        )
    console = Console()
    if found:
        console.print(online_tasks([(spec.name, spec) for spec in found]))
    if groups and pattern not in groups:
        gap = "\n" if found else ""
        console.print(f"{gap}Groups, which name several tasks (`polytask tasks GROUP` lists them):", highlight=False)
        for name, members in groups.items():
            console.print(f"  {name:<20}{len(members):>3} tasks", highlight=False)
    if pattern is None:
        console.print(
            "\nAlso gym/<id> for every Gymnasium environment, of vectors or images, and\n"
            "gym/<module>:<callable> for your own; `polytask tasks problems` for problems to\nlearn from data.",
            highlight=False,
        )
    return 0


def _data(name: str) -> int:
    """Shows the sets that a name stands for."""
    from rich.console import Console

    from polytask.datasets.facts import LEGEND, table
    from polytask.datasets.names import load

    logged = load([name])
    Console().print(table(logged))
    print(f"\n{LEGEND}")
    unknown = [task.spec.name for task in logged if not task.simulated]
    if unknown:
        print(f"\nNo simulator is known of {', '.join(unknown)}; name one with {name}@gym/<id>")
    return 0


def _problems(name: str) -> int:
    """Lists the problems, or the tasks of one."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from polytask.decisions.show import case_table
    from polytask.problems import DECISIONS, PROBLEMS, SUMMARIES, is_decision, resolve, resolve_decision
    from polytask.supervised.show import task_table

    console = Console()
    if name:
        deciding = is_decision(name)
        shown = case_table([(name, resolve_decision(name))]) if deciding else task_table(resolve(name))
        console.print(shown)
        return 0
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("problem", no_wrap=True)
    for heading in ("inputs", "tasks", "outputs", "train", "validate", "test"):
        table.add_column(heading, justify="right", no_wrap=True)
    for known in SUMMARIES:
        problem = resolve(known)
        rows = [part.inputs.shape[0] for part in (problem.train, problem.validation, problem.test)]
        shape = " x ".join(map(str, problem.train.inputs.shape[1:]))
        outputs = sum(task.outputs for task in problem.tasks)
        cells = (PROBLEM_PREFIX + known, shape, str(len(problem.tasks)), str(outputs), *(f"{n:,}" for n in rows))
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print()
    for known, summary in SUMMARIES.items():
        console.print(f"{known}: {summary}", highlight=False)
    console.print("\nThose in which a prediction feeds a decision:\n", highlight=False)
    console.print(case_table([(known, resolve_decision(known)) for known in DECISIONS]))
    console.print()
    for known, summary in DECISIONS.items():
        console.print(f"{known}: {summary}", highlight=False)
    if others := PROBLEMS.names():
        console.print(f"\nOf other packages: {', '.join(PROBLEM_PREFIX + name for name in others)}", highlight=False)
    console.print(
        f"\n`polytask tasks {PROBLEM_PREFIX}multidigits` lists the tasks of one.\n"
        f"Your own: {PROBLEM_PREFIX}<module>:<function>, a function that returns a problem.",
        highlight=False,
    )
    return 0
