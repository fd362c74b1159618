"""`polytask sweep`, and `polytask resume` of a sweep."""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from polytask.commands.shared import INTERRUPTED, stop_at_once

if TYPE_CHECKING:
    from polytask.sweeps.config import SweepConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where a sweep runs."""

    address: Annotated[str, tyro.conf.arg(metavar="HOST:PORT", help_behavior_hint="")] = ""
    """A Ray cluster that runs already; without it, this machine alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Cluster):
    """Trains every combination of some settings, several runs at a time.

    polytask sweep TASK ... --over agent.learning-rate=3e-4,1e-3 --over seed=0..4

    polytask sweep FILE.yaml

    All else is as for `polytask train`. Each run has a folder in the sweep's.

    The same command again, or `polytask resume SWEEP`, goes on with what is left.

    It ends with `polytask report SWEEP`: the best settings, and what each one does.
    """

    over: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="SETTING=A,B", help_behavior_hint="")
    ] = ()
    """A setting of `polytask train` and its values; 0..4 is 0,1,2,3,4. Several times: every combination."""
    run: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The folder of the sweep; by default runs/sweep- with the names of what is trained and what differs."""
    cpus: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Cores of each run."""
    gpus: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """GPUs of each run."""
    halving: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """Stops hopeless runs: one in N configurations goes on, again and again; 0 trains all to their end."""


def sweep(arguments: list[str]) -> int:
    """Parses and runs."""
    given, train = tyro.cli(Arguments, prog="polytask sweep", args=arguments, return_unknown_args=True)
    return _run(_asked(given, train), given.run, given.address)


def resume_sweep(folder: Path, arguments: list[str]) -> int:
    """Goes on with the sweep in a folder."""
    from polytask.sweeps import config

    given = tyro.cli(Cluster, prog="polytask resume SWEEP", args=[a for a in arguments if Path(a) != folder])
    return _run(config.read(folder), folder, given.address)


def _asked(given: Arguments, train: list[str]) -> "SweepConfig":
    from polytask.sweeps.config import SweepConfig, axis, read_file

    over = [axis(text) for text in given.over]
    twice = next((name for i, (name, _) in enumerate(over) if name in dict(over[:i])), None)
    if twice:
        raise ValueError(f"--over {twice} is given twice: name all of its values at once, {twice}=A,B")
    numbers = {name: value for name in ("cpus", "gpus", "halving") if (value := getattr(given, name)) is not None}
    if not train or not train[0].endswith((".yaml", ".yml", ".json")):
        return SweepConfig(shlex.join(train), dict(over), **numbers)
    if len(train) > 1:
        raise ValueError(f"beside {train[0]}: write {shlex.join(train[1:])} into `train` in the file")
    found = read_file(Path(train[0]))
    return dataclasses.replace(found, over={**found.over, **dict(over)}, **numbers)


def _run(found: "SweepConfig", run: Path | None, address: str) -> int:
    """Trains what is left of a sweep, and ends with its report."""
    import jax

    from polytask import cluster
    from polytask.commands.report import report_sweep
    from polytask.runs.stopping import stop_signal
    from polytask.sweeps import config
    from polytask.sweeps.launch import on_ray
    from polytask.sweeps.progress import SweepProgress
    from polytask.sweeps.run import run_sweep, rungs

    jax.config.update("jax_platforms", "cpu")  # what is checked here must not take memory of the runs' devices
    trials = config.trials(found)
    folder = (run or config.usual_folder(found, trials[0])).absolute()
    steps = rungs(found, trials)
    config.check_folder(folder, found)
    config.check_all(trials, folder)
    cluster.require()
    config.claim(folder, found)
    again = f"polytask resume {shlex.quote(str(run or folder))}"
    print(f"sweep   {len(trials)} runs: {' x '.join(f'{len(v)} {n}' for n, v in found.over.items())}")
    if len(steps) > 1:
        print(f"halving one in {found.halving} configurations goes on after {', '.join(map(str, steps[:-1]))} steps")
    print(f"folder  {folder}\n", flush=True)
    try:
        with (
            cluster.connected(address) as ray,
            SweepProgress(trials, folder) as progress,
            stop_signal(progress.message) as stop,
        ):
            launch = on_ray(ray, found.cpus, found.gpus)
            outcomes = run_sweep(found, trials, folder, launch, progress.ended, lambda: progress.look() or stop())
            stopped = stop()
    except KeyboardInterrupt:
        stop_at_once(again)
    if stopped:
        print(f"Stopped; every run has a checkpoint. Go on with\n  {again}")
        return INTERRUPTED
    report_sweep(folder)
    failed = [name for name, outcome in outcomes.items() if outcome != "done"]
    if failed:
        print(f"{len(failed)} of {len(trials)} runs failed. Once the cause is mended: {again}")
    return 1 if failed else 0
