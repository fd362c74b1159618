"""Training for decisions in the table of kinds: a predictor that feeds an optimiser."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.decisions.config import LOSSES, DecisionConfig
from polytask.decisions.schema import SCHEMA, label, task_facts, task_name
from polytask.tasks.suite import PROBLEM_PREFIX
from polytask.training import kinds
from polytask.training.arguments import Asked, Common, asked, parse, value_of
from polytask.training.kinds import Kind, Measured, Options

if TYPE_CHECKING:
    from polytask.decisions.case import Case
    from polytask.decisions.trainer import DecisionTrainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(DecisionConfig, Common):
    """Trains a predictor that feeds a decision; ends with a table and report.html.

    Problems: cubic, newsvendor, ...; `polytask tasks problems` lists them.

    Your own: problems/my_module:make_case, a function that returns a Case.

    Where the run folder already holds this run, it goes on from its checkpoint.
    """

    problem: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROBLEM", help_behavior_hint="")] = ""
    """problems/newsvendor, problems/my_module:make_case, ..."""


def kind_of(resolve: "Callable[[DecisionConfig], Case]") -> Kind:
    """The kind, where `resolve` gives the case of a configuration."""

    def make(config: DecisionConfig, runs: Mapping[int, Path]) -> "DecisionTrainer":
        from polytask.decisions.trainer import DecisionTrainer

        return DecisionTrainer(config, resolve(config), tuple(runs))

    def load(run: Path) -> Any:
        from polytask.decisions.predictor import load

        return load(run, resolve(kinds.config_at(run)))

    def measure(run: Path, options: Options) -> Measured:
        from polytask.decisions import show, testing

        kinds.data_only(options)
        tested = testing.measure_run(run, resolve(kinds.config_at(run)))
        return Measured(show.measured(tested), testing.to_json(tested))

    return Kind(
        name="decisions",
        config=DecisionConfig,
        facts=("specs", "drawn"),
        accepts=_accepts,
        parse=_parse,
        folder=_folder,
        make=make,
        show=_show,
        tasks=lambda config: (task_name(config.problem),),
        of_tasks=lambda config, tasks: config,
        load=load,
        measure=measure,
        schema=SCHEMA,
        task_facts=task_facts,
        label=label,
    )


def _by_name(config: DecisionConfig) -> "Case":
    from polytask.problems import resolve_decision

    return resolve_decision(config.problem)


def _accepts(arguments: Sequence[str]) -> bool:
    from polytask.problems import is_decision

    data_seed = value_of(arguments, "--data-seed", "0")
    seed = int(data_seed) if data_seed.isdecimal() else 0
    return any(is_decision(name, seed) for name in arguments if name.startswith(PROBLEM_PREFIX))


def _parse(arguments: Sequence[str]) -> Asked:
    from polytask.problems import HEAD_LOSSES

    loss = value_of(arguments, "--loss", "")
    if loss in HEAD_LOSSES:
        name = next(argument for argument in arguments if argument.startswith(PROBLEM_PREFIX))
        raise ValueError(
            f"--loss {loss} is for problems with heads, such as {PROBLEM_PREFIX}multidigits; {name} ends in a decision "
            f"and takes {', '.join(LOSSES)}"
        )
    return asked(parse(Arguments, arguments, Arguments()), DecisionConfig)


def _folder(config: DecisionConfig) -> str:
    """`newsvendor-taskmet`."""
    metric = "" if config.metric == "input" else config.metric
    numbers = {"trace": config.trace, "temperature": config.temperature, "rate": config.learning_rate}
    changed = [f"{name}{value:g}" for name, value in numbers.items() if value]
    parts = (
        _slug(config.problem.removeprefix(PROBLEM_PREFIX)),
        _slug(config.loss),
        metric,
        "per-task" * config.per_task,
    )
    return "-".join(part for part in (*parts, *changed) if part)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+]+", "-", name).strip("-")


def _show(config: DecisionConfig, trainer: "DecisionTrainer", runs: Mapping[int, Path]) -> None:
    from polytask.decisions.show import show

    show(config, trainer.case, runs)


KIND = kind_of(_by_name)
