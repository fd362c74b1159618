"""Training of fleets in the table of kinds: an allocating and a routing policy."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.fleets.config import FleetConfig
from polytask.fleets.names import PREFIX, size_of
from polytask.fleets.schema import SCHEMA, task_facts
from polytask.training import kinds
from polytask.training.arguments import Asked, Common, asked, parse
from polytask.training.kinds import Kind, Measured, Options

if TYPE_CHECKING:
    from polytask.fleets.trainer import FleetTrainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(FleetConfig, Common):
    """Trains policies that split sites among vehicles and route each; ends with a table and report.html.

    Sizes: fleets/u4-n80 has 4 vehicles and 80 sites; any numbers will do, and several sizes train one model.

    Where the run folder already holds this run, it goes on from its checkpoint.
    """

    tasks: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="SIZE ...", help_behavior_hint="")
    ] = ()
    """fleets/u4-n80, fleets/u6-n200, ..."""


def _parse(arguments: Sequence[str]) -> Asked:
    given = parse(Arguments, arguments, Arguments())
    for name in given.tasks:
        size_of(name)
    return asked(given, FleetConfig, tasks=tuple(PREFIX + name.removeprefix(PREFIX) for name in given.tasks))


def _folder(config: FleetConfig) -> str:
    """`fleets-u4-n80`."""
    sizes = "+".join(name.removeprefix(PREFIX) for name in config.tasks)
    return f"fleets-{sizes}" + ("-single" if config.policy == "single" else "")


def _make(config: FleetConfig, runs: Mapping[int, Path]) -> "FleetTrainer":
    from polytask.fleets.trainer import FleetTrainer

    return FleetTrainer(config, tuple(runs))


def _show(config: FleetConfig, trainer: "FleetTrainer", runs: Mapping[int, Path]) -> None:
    from polytask.fleets.show import show

    show(config, runs)


def _load(run: Path) -> Any:
    from polytask.fleets.policy import load

    return load(run)


def _measure(run: Path, options: Options) -> Measured:
    from polytask.fleets.show import measured
    from polytask.fleets.testing import measure_run

    kinds.data_only(options._replace(episodes=None))
    tested = measure_run(run, options.episodes)
    return Measured(measured(tested), tested)


KIND = Kind(
    name="fleets",
    config=FleetConfig,
    facts=("specs",),
    accepts=lambda arguments: any(argument.startswith(PREFIX) for argument in arguments),
    parse=_parse,
    folder=_folder,
    make=_make,
    show=_show,
    tasks=lambda config: config.tasks,
    of_tasks=lambda config, names: dataclasses.replace(config, tasks=names),
    load=_load,
    measure=_measure,
    schema=SCHEMA,
    task_facts=task_facts,
)
