"""`polytask problems`: makes the data of a problem."""

from pathlib import Path
from typing import Annotated, Literal

import tyro


def problems(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_problems, prog="polytask problems", args=arguments)


def _problems(
    action: Annotated[tyro.conf.Positional[Literal["make"]], tyro.conf.arg(metavar="make")],
    problem: Annotated[tyro.conf.Positional[Literal["scenes"]], tyro.conf.arg(metavar="scenes")],
    /,
    *,
    size: Annotated[str, tyro.conf.arg(metavar="HEIGHTxWIDTH")] = "64x96",
    count: int = 3_000,
    seed: int = 0,
    workers: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: one a core)")] = None,
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz", help_behavior_hint="")] = None,
) -> int:
    """Renders images of rooms with exact labels, once, into the user's cache folder.

    After Ctrl-C the same command goes on.

    `polytask train problems/scenes-64x96-3000` learns from them.

    Args:
        action: What is done.
        problem: The problem.
        size: Pixels of an image.
        count: How many images.
        seed: Decides what they show.
        workers: Processes that render.
        output: Also writes the set as one compressed file.
    """
    import re

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from polytask.problems.scenes import files

    found = re.fullmatch(r"(\d+)x(\d+)", size)
    if found is None:
        raise ValueError(f"--size is height x width in pixels, such as 64x96, not {size}")
    which = files.SceneSet(int(found[1]), int(found[2]), count, seed)
    which.check()
    if workers is not None and workers < 1:
        raise ValueError(f"--workers must be at least 1, not {workers}")
    columns = (TextColumn("scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("scenes", total=count)
        home = files.make(which, lambda ready: progress.update(task, completed=ready), workers)
    print(f"made    {home}")
    if output is not None:
        files.pack(which, output)
        print(f"written {output}")
    print(f"learn   polytask train problems/scenes-{which.name}")
    return 0
