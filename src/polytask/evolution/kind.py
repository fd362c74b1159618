"""Evolution in the table of kinds: one population of components for several problems, by `polytask evolve`."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.evolution.config import DROP, EvolutionConfig
from polytask.evolution.schema import SCHEMA, task_facts
from polytask.runs.folder import CONFIG, RunFolder
from polytask.tasks.suite import PROBLEM_PREFIX
from polytask.training import kinds
from polytask.training.arguments import Asked, Common, asked
from polytask.training.kinds import Kind, Measured, Options

if TYPE_CHECKING:
    from polytask.evolution.predictor import EvolvedPredictor
    from polytask.evolution.trainer import EvolutionTrainer
    from polytask.supervised.problem import Problem


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(EvolutionConfig, Common):
    """Evolves one population of components for several problems; no problem forgets.

    Ends with a table and report.html, which draws who uses and who made what.

    The same command with more problems at its end goes on with the run.
    """

    problems: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PROBLEM ...", help_behavior_hint="")
    ] = ()
    """problems/multidigits problems/my_module:make_problem ...; drop:problems/NAME takes one out again."""
    steps: tyro.conf.Suppress[int] = 1
    groups: tyro.conf.Suppress[Path | None] = None
    patience: tyro.conf.Suppress[int] = 0
    affinity_every: tyro.conf.Suppress[int] = 0
    start_from: tyro.conf.Suppress[str] = ""


def problems_of(config: EvolutionConfig) -> "dict[str, Problem]":
    """The problems of an evolution by name. Raises as `polytask.problems.resolve`."""
    from polytask.problems import resolve

    return {name: resolve(name, config.data_seed) for name in config.names}


def _parse(arguments: Sequence[str]) -> Asked:
    given = tyro.cli(Arguments, prog="polytask evolve", args=list(arguments), default=Arguments())
    if not given.problems or given.problems[0].startswith(DROP):
        raise ValueError("name the problems to evolve for: polytask evolve problems/multidigits problems/...")
    return asked(given, EvolutionConfig, steps=len(given.entries) * given.generations)


def _make(config: EvolutionConfig, runs: Mapping[int, Path]) -> "EvolutionTrainer":
    from polytask.evolution.trainer import EvolutionTrainer

    trainer = EvolutionTrainer(config, problems_of(config), tuple(runs))
    for run in runs.values():
        _check_goes_on(config, trainer.facts[0]["data"], run)
    return trainer


def _check_goes_on(config: EvolutionConfig, data: Mapping[str, Any], run: Path) -> None:
    """Raises ValueError where a folder's evolution has other problems than those that this one begins with."""
    if not (run / CONFIG).exists():
        return
    content = RunFolder(run).read_config()
    before = tuple(content.get("problems", ()))
    if before != config.problems[: len(before)]:
        raise ValueError(
            f"{run} evolved for {' '.join(before)}: name these first, what is new behind them, or take another --run"
        )
    changed = [name for name, facts in content["data"].items() if facts["sha256"] != data[name]["sha256"]]
    if changed:
        raise ValueError(f"the data of {', '.join(changed)} have changed since {run} evolved for them")


def _folder(config: EvolutionConfig) -> str:
    """`evolution-multidigits+3-more`."""
    first = config.names[0].replace(":", "-").replace("/", "-")
    return f"evolution-{first}" + (f"+{len(config.names) - 1}-more" if len(config.names) > 1 else "")


def _show(config: EvolutionConfig, trainer: "EvolutionTrainer", runs: Mapping[int, Path]) -> None:
    from rich.console import Console

    from polytask.training.show import print_lines

    order = " > ".join(name.removeprefix(PROBLEM_PREFIX) for name in config.problems)
    lines = {
        "problems": order,
        "children": f"{config.children} in each of {config.generations} generations of a problem, "
        f"{config.child_steps} steps of {config.batch_size} rows each",
        "network": f"up to 3 blocks of {config.width} units, adapters of {config.adapter_rank}",
    }
    print_lines(Console(highlight=False), lines, config, runs)


def _load(run: Path) -> "EvolvedPredictor":
    from polytask.evolution.predictor import load

    return load(run)


def _measure(run: Path, options: Options) -> Measured:
    from polytask.evolution.predictor import measure_run
    from polytask.supervised import show, testing

    kinds.data_only(options)
    tested = measure_run(run, problems_of(kinds.config_at(run)))
    return Measured(show.measured(tested), testing.to_json(tested))


KIND = Kind(
    name="evolution",
    config=EvolutionConfig,
    facts=("specs", "data"),
    accepts=lambda arguments: False,  # it has a command of its own
    parse=_parse,
    folder=_folder,
    make=_make,
    show=_show,
    tasks=lambda config: config.names,
    of_tasks=lambda config, tasks: dataclasses.replace(config, problems=tasks),
    load=_load,
    measure=_measure,
    schema=SCHEMA,
    task_facts=task_facts,
    growing=("specs", "data"),
)
