"""The table of kinds of training: the only place that knows which there are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from polytask.config.fields import from_json, not_compared
from polytask.config.fields import resumable as resumable_fields
from polytask.plugins import Table
from polytask.runs.folder import GROUPED, RunFolder, RunFolderError
from polytask.runs.old import upgrade_config
from polytask.runs.records import Schema, TaskFacts
from polytask.training.config import RunConfig, content_of

if TYPE_CHECKING:
    from polytask.training.arguments import Asked
    from polytask.training.trainer import Trainer


class Options(NamedTuple):
    """What `polytask evaluate` was given; None where nothing was."""

    episodes: int | None = None
    seed: int | None = None
    video: bool = False


class Measured(NamedTuple):
    """What `polytask evaluate` shows of a run and writes into evaluation.json; `after` gives an exit code."""

    table: Any
    content: dict[str, Any]
    after: Callable[[], int] | None = None


class Kind(NamedTuple):
    """A kind of training. Its module is imported when it is asked for, and imports what is heavy when it works.

    - `config`: its configuration; `facts`: the keys that config.json has beside it.
    - `accepts(arguments)`: whether `polytask train ARGUMENTS` is for it; `parse(arguments)`: what is asked for.
    - `folder(config)`: the name of the run folder, the same for the same command.
    - `make(config, runs)`: a trainer of one seed or several; `show(config, trainer, runs)`: prints what it trains.
    - `tasks(config)`: the names of its tasks; `of_tasks(config, names)`: the training of some of them, for groups.
    - `load(run)`: what a run has learned; `measure(run, options)`: `polytask evaluate`.
    - `schema`, `task_facts(content)`: how a report reads its records, and its tasks from config.json.
    - `growing`: those of the facts in which a run may gain entries when it goes on; `make` refuses other changes.
    - `extend(run, tasks)`: adds tasks to a run in place and says what it did; None where that cannot be.
    - `label(config)`: a short name for what tells its methods apart, or "".
    """

    name: str
    config: type[RunConfig]
    facts: tuple[str, ...]
    accepts: Callable[[Sequence[str]], bool]
    parse: Callable[[Sequence[str]], "Asked"]
    folder: Callable[[Any], str]
    make: Callable[[Any, Mapping[int, Path]], "Trainer"]
    show: Callable[[Any, Any, Mapping[int, Path]], None]
    tasks: Callable[[Any], tuple[str, ...]]
    of_tasks: Callable[[Any, tuple[str, ...]], Any]
    load: Callable[..., Any]
    measure: Callable[[Path, Options], Measured]
    schema: Schema
    task_facts: Callable[[Mapping[str, Any]], tuple[TaskFacts, ...]]
    label: Callable[[Mapping[str, Any]], str] = lambda content: ""
    growing: tuple[str, ...] = ()
    extend: Callable[[Path, Sequence[str]], str] | None = None


KINDS: Table[Kind] = Table(
    what="kind of training",
    group="polytask.kinds",
    built_in={
        "decisions": "polytask.decisions.kind:KIND",
        "tables": "polytask.supervised.tables.kind:KIND",
        "supervised": "polytask.supervised.kind:KIND",
        "offline": "polytask.offline.kind:KIND",
        "fleets": "polytask.fleets.kind:KIND",
        "evolution": "polytask.evolution.kind:KIND",
        "online": "polytask.online.kind:KIND",
    },
    type=Kind,
)
"""The kinds by name; another package's entry is NAME = "module:attribute", of a `Kind`."""


def names() -> tuple[str, ...]:
    """The kinds that there are, in the order in which they are asked whether they accept a command: online is last,
    since it takes what no other does."""
    others = [name for name in KINDS.names() if name not in KINDS.built_in]
    return (*others, *KINDS.built_in)


def asked(arguments: Sequence[str]) -> Kind:
    """The kind that `polytask train ARGUMENTS` is for."""
    return next(kind for name in names() if (kind := KINDS[name]).accepts(arguments))


def kind_for(config: RunConfig) -> Kind:
    """The kind whose configuration this is."""
    found = [kind for name in names() if type(config) is (kind := KINDS[name]).config]
    if not found:
        raise TypeError(f"{type(config).__name__} is the configuration of no kind of training that is registered")
    return found[0]


def kind_of(content: Mapping[str, Any]) -> Kind:
    """The kind of a run, by its config.json. Raises ValueError for one that is not installed."""
    return KINDS[str(upgrade_config(dict(content))["kind"])]


def config_of(content: Mapping[str, Any]) -> Any:
    """The configuration of a run, by its config.json. Raises ValueError naming fields that are not known."""
    content = upgrade_config(dict(content))
    kind = KINDS[str(content["kind"])]
    beside = ("kind", GROUPED, *kind.facts)
    return from_json(kind.config, {name: value for name, value in content.items() if name not in beside})


def config_at(run: Path) -> Any:
    """The configuration of the run in a folder. Raises RunFolderError if it holds none, and as `config_of`."""
    return config_of(RunFolder(run).read_config())


def completed(content: dict[str, Any]) -> dict[str, Any]:
    """What an older version of this kind wrote, with the fields that came to be since. Raises as `config_of`."""
    if "kind" not in content:
        raise RunFolderError(
            "this run was written by an older polytask: it can be reported, evaluated and loaded, but not "
            "resumed; finish it with the version in its provenance.json, or train into another folder with --run"
        )
    kind = KINDS[str(content["kind"])]
    facts = {name: content[name] for name in (*kind.facts, GROUPED) if name in content}
    return content_of(kind.name, config_of(content), facts)


def resumable(config: RunConfig) -> tuple[str, ...]:
    """The fields of a run that may change when it is resumed."""
    return resumable_fields(type(config))


def may_change(config: RunConfig) -> tuple[str, ...]:
    """What of config.json may change when a run goes on."""
    return (*resumable(config), *kind_for(config).growing)


def uncompared(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of config.json that do not tell methods apart."""
    kind = kind_of(content)
    return ("kind", *kind.facts, *not_compared(kind.config))


def load(run: Path | str, **options: Any) -> Any:
    """What a run has learned: a policy, a predictor, ... as its kind has it. Raises RunFolderError if it is no run.

    `options` are the kind's own, such as the `seed` of the actions that a policy draws.
    """
    path = Path(run)
    folder = path.parent.parent if path.parent.name == "checkpoints" else path
    return kind_of(RunFolder(folder).read_config()).load(path, **options)


def data_only(options: Options) -> None:
    """Raises ValueError for options that are of simulators, where a run is measured on its test data."""
    if options != Options():
        raise ValueError("a run from data is measured on its test data: leave --episodes, --seed and --video out")
