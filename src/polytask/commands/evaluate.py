"""`polytask evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import tyro

FILE = "evaluation.json"
_Optional = tyro.conf.arg(help_behavior_hint="")


def evaluate(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_evaluate, prog="polytask evaluate", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def _evaluate(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    episodes: Annotated[int | None, _Optional] = None,
    seed: Annotated[int | None, _Optional] = None,
    video: bool = False,
) -> int:
    """Measures a run's newest checkpoint, with deterministic actions.

    Prints success, return and score with 95 % intervals over the episodes.

    Of a run from data: score and loss, with intervals over the test rows.

    Of a predictor that decides: decision quality and squared error.

    Writes evaluation.json into the run folder; training is never touched.

    Args:
        run: The run folder.
        episodes: Episodes of each task; by default 10.
        seed: Seed of the environments; by default 0.
        video: Also film an episode of each task into RUN/videos; needs pip install -e '.[official]' in the checkout.
    """
    from rich.console import Console

    from polytask.runs import storage
    from polytask.runs.compilation import keep_compiled
    from polytask.runs.folder import RunFolder
    from polytask.training import kinds
    from polytask.training.kinds import Options

    keep_compiled()
    kind = kinds.kind_of(RunFolder(run).read_config())
    measured = kind.measure(run, Options(episodes, seed, video))
    Console().print(measured.table)
    file = run / FILE
    with storage.writing(file, run):
        storage.replace(file, json.dumps(measured.content, indent=1, allow_nan=False).encode())
    print(f"\nwritten {file}")
    return measured.after() if measured.after else 0
