"""`polytask train` and `polytask resume`, of every kind of training."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polytask.commands.shared import INTERRUPTED, finished

if TYPE_CHECKING:
    from polytask.training.config import RunConfig
    from polytask.training.groups import TaskGroup
    from polytask.training.kinds import Kind


def train(arguments: list[str]) -> int:
    """Parses and runs."""
    from polytask.training import kinds
    from polytask.training.arguments import folders

    kind = kinds.asked(arguments)
    asked = kind.parse(arguments)
    runs = folders(asked)
    if asked.groups is None:
        return train_kind(kind, asked.config, runs)
    from polytask.training.groups import read_groups

    return _train_groups(asked.config, read_groups(asked.groups), runs)


def resume(arguments: list[str]) -> int:
    """Parses and runs."""
    from polytask.runs.folder import CONFIG, GROUPED, RunFolder
    from polytask.sweeps.config import is_sweep
    from polytask.training import kinds
    from polytask.training.arguments import resumed

    named = [Path(argument) for argument in arguments if not argument.startswith("-")]
    sweep = next((path for path in named if is_sweep(path)), None)
    if sweep is not None:
        from polytask.commands.sweep import resume_sweep

        return resume_sweep(sweep, arguments)
    run = next((path for path in named if (path / CONFIG).exists()), named[-1] if named else None)
    if run is None:  # --help, or nothing at all: as for the last kind in the table
        resumed(kinds.KINDS[kinds.names()[-1]].parse([]).config, arguments)
        return 0
    content = RunFolder(run).read_config()
    kinds.completed(content)
    config = resumed(kinds.config_of(content), arguments)
    runs = {config.seed: run}
    if GROUPED not in content:
        return train_kind(kinds.kind_of(content), config, runs)
    from polytask.training.groups import GROUPS, read_groups

    return _train_groups(config, read_groups(run / GROUPS), runs)


def train_kind(kind: "Kind", config: "RunConfig", runs: Mapping[int, Path]) -> int:
    """Trains a run for each seed, showing what, and ends with the table and the report."""
    from polytask.hosts import places
    from polytask.training.run import run as run_trainer

    runs = places(config, runs)
    trainer = kind.make(config, runs)
    kind.show(trainer.config, trainer, runs)
    return _concluded(lambda: run_trainer(trainer, runs), runs)


def _train_groups(config: "RunConfig", groups: "Sequence[TaskGroup]", runs: Mapping[int, Path]) -> int:
    """Trains a model for each group, and reports them as one."""
    from polytask.training.groups import train_groups

    for i, group in enumerate(groups):
        print(f"group{i + 1}  {', '.join(group.tasks)}")
    return _concluded(lambda: train_groups(config, groups, runs), runs)


def _concluded(training: Callable[[], bool], runs: Mapping[int, Path]) -> int:
    """Trains, and ends with the table and the report."""
    from polytask.commands.shared import conclude
    from polytask.hosts import first as writes
    from polytask.training.trainer import SeedsStopped

    first = next(iter(runs.values()))
    one = len(runs) == 1
    report = first / "report.html" if one else first.with_name(f"{first.name}-and-{len(runs) - 1}-more.html")
    try:
        if not finished(training, f"polytask resume {shlex.quote(str(first))}" if one else "the same command"):
            return INTERRUPTED
        if not writes():
            return 0
    except SeedsStopped:
        conclude(list(runs.values()), report)
        raise
    conclude(list(runs.values()), report)
    for run in runs.values():
        print(f"run     {run}")
    return 0
