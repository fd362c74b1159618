"""`polytask extend`."""

from pathlib import Path
from typing import Annotated

import tyro


def extend(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_extend, prog="polytask extend", args=arguments)


def _extend(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    tasks: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="TASK ...", help_behavior_hint="")],
    /,
) -> int:
    """Adds tasks to a run, in place; `polytask resume RUN` then trains all of them.

    What was learned of the old tasks keeps its bits, replay and optimisers too.

    New tasks begin with fresh embeddings, at random, for the run's warm-up.

    Args:
        run: The run folder.
        tasks: Names, as `polytask tasks` lists them.
    """
    import shlex

    from polytask.runs.folder import RunFolder
    from polytask.training import kinds

    if not tasks:
        raise ValueError("name the tasks to add: polytask extend RUN TASK ...")
    kind = kinds.kind_of(RunFolder(run).read_config())
    if kind.extend is None:
        raise ValueError(
            f"{run} is a run of the kind {kind.name}, which takes no further tasks: train another --from it"
        )
    print(f"added   {kind.extend(run, tasks)}")
    print(f"go on   polytask resume {shlex.quote(str(run))} --steps N")
    return 0
