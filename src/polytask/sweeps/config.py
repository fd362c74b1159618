"""What a sweep is: the arguments of `polytask train`, and the values of some of them."""

import contextlib
import dataclasses
import itertools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from polytask.config.fields import check, field, values_of
from polytask.runs import storage
from polytask.runs.folder import RunFolderError
from polytask.training import kinds
from polytask.training.arguments import Asked, value_of
from polytask.training.config import RunConfig

SWEEP = "sweep.json"
LOGS = "logs"
SEED = "seed"
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """Every combination of values, each a run of its own.

    Raises ValueError for values that are not given, or given twice.
    """

    train: str
    """The arguments of `polytask train`, as on the command line."""
    over: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    """The values of each setting, by its flag without dashes."""
    cpus: int = field(1, range="[1, inf)")
    """Cores of each run. What a run learns depends on their number, in the last bits."""
    gpus: int = field(0, range="[0, inf)")
    """GPUs of each run."""
    halving: int = field(0, range="[0, inf)")
    """Successive halving: one in so many configurations goes on, again and again; 0 trains all to their end."""

    def __post_init__(self) -> None:
        check(self)
        if self.halving == 1:
            raise ValueError("--halving 1 would stop nothing: one in 2 goes on with 2, and 0 trains all to their end")
        if not self.over:
            raise ValueError(
                "name what differs between the runs: --over agent.learning-rate=3e-4,1e-3 --over seed=0..4"
            )
        for name, values in self.over.items():
            if not values or "" in values:
                raise ValueError(f"--over {name} has a value that is empty")
            if len(set(values)) < len(values):
                raise ValueError(f"--over {name} names a value twice: {', '.join(values)}")
            if value_of(self.words, f"--{name}", ""):
                raise ValueError(f"--over {name} and --{name}: leave one of them out")

    @property
    def words(self) -> list[str]:
        """The arguments of `polytask train`, one by one."""
        return shlex.split(self.train)


class Trial(NamedTuple):
    """One run of a sweep: the name of its folder in the sweep's, its settings, and its configuration."""

    name: str
    settings: dict[str, str]
    config: RunConfig

    @property
    def configuration(self) -> tuple[tuple[str, str], ...]:
        """Its settings but for the seed."""
        return tuple((name, value) for name, value in self.settings.items() if name != SEED)


def axis(text: str) -> tuple[str, tuple[str, ...]]:
    """What `agent.learning-rate=3e-4,1e-3` or `seed=0..4` says. Raises ValueError for another text."""
    name, equals, values = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--over reads agent.learning-rate=3e-4,1e-3 or seed=0..4, not '{text}'")
    return _flag(name), tuple(value for part in values.split(",") for value in _values(part))


def _flag(name: str) -> str:
    return name.lstrip("-").replace("_", "-")


def _values(text: str) -> list[str]:
    bounds = _RANGE.fullmatch(text.strip())
    return [str(n) for n in range(int(bounds[1]), int(bounds[2]) + 1)] if bounds else [text.strip()]


def from_content(content: Any, where: Path) -> SweepConfig:
    """The sweep that a file describes. Raises ValueError for what it should not hold."""
    names = [one.name for one in dataclasses.fields(SweepConfig)]
    if not isinstance(content, dict) or not isinstance(content.get("over", {}), dict) or "train" not in content:
        raise ValueError(f"{where}: a sweep has `train`, arguments of `polytask train`, and `over`, values by setting")
    unknown = [name for name in content if name not in names]
    if unknown:
        raise ValueError(f"{where}: a sweep has no {', '.join(unknown)}; it has {', '.join(names)}")
    over = {}
    for name, given in content.get("over", {}).items():
        parts = given if isinstance(given, list) else str(given).split(",")
        over[_flag(name)] = tuple(value for part in parts for value in _values(str(part)))
    train = content["train"]
    try:
        numbers = {name: int(content[name]) for name in names[2:] if name in content}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return SweepConfig(shlex.join(map(str, train)) if isinstance(train, list) else str(train), over, **numbers)


def read_file(file: Path) -> SweepConfig:
    """A sweep from a YAML or JSON file. Raises OSError, ValueError as `from_content`, and ModuleNotFoundError."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("a sweep's file needs PyYAML: pip install 'polytask[ray]'", name="yaml") from error
    try:
        # Texts alone: 3e-4 is no number in YAML 1.1, and values go on as they are typed.
        return from_content(yaml.load(file.read_text(), yaml.BaseLoader), file)
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not valid YAML: {error}") from error


def is_sweep(folder: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (folder / SWEEP).exists()


def read(folder: Path) -> SweepConfig:
    """The sweep in a folder. Raises RunFolderError where its description is damaged."""
    try:
        return from_content(json.loads((folder / SWEEP).read_text()), folder / SWEEP)
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder / SWEEP} cannot be read: {error}") from error


def check_folder(folder: Path, sweep: SweepConfig) -> None:
    """Raises RunFolderError for the folder of something else, or of a sweep with other settings; values may be new."""
    if not is_sweep(folder):
        if folder.exists() and any(folder.iterdir()):
            raise RunFolderError(f"{folder} holds files but no sweep; name a new or empty folder with --run")
        return
    before = read(folder)
    fewer = [name for name, values in before.over.items() if not set(values) <= set(sweep.over.get(name, ()))]
    others = [one.name for one in dataclasses.fields(sweep) if one.name not in ("over", "gpus")]
    changed = [name for name in others if getattr(before, name) != getattr(sweep, name)]
    if fewer or changed or set(before.over) != set(sweep.over):
        raise RunFolderError(
            f"{folder} holds another sweep: {shown(before)}\nValues may be added, and nothing else may change. "
            f"Choose another folder with --run, or go on with it: polytask resume {shlex.quote(str(folder))}"
        )


def claim(folder: Path, sweep: SweepConfig) -> None:
    """Makes the folder of a sweep, with its description. Raises StorageError."""
    content = {**values_of(sweep), "over": dict(sweep.over)}
    with storage.writing(folder / SWEEP, folder):
        (folder / LOGS).mkdir(parents=True, exist_ok=True)
        storage.replace(folder / SWEEP, json.dumps(content, indent=2).encode())


def shown(sweep: SweepConfig) -> str:
    """A sweep as its command, without what is usual."""
    over = [f"--over {shlex.quote(name + '=' + ','.join(values))}" for name, values in sweep.over.items()]
    numbers = [f"--{n} {v}" for n, v, usual in (("cpus", sweep.cpus, 1), ("halving", sweep.halving, 0)) if v != usual]
    return " ".join(["polytask sweep", sweep.train, *over, *numbers])


def trials(sweep: SweepConfig) -> list[Trial]:
    """Every combination, in the order of `over`, the last setting changing fastest.

    Raises what `polytask train` does for a value that cannot be (SystemExit where tyro has printed the error), and
    ValueError for arguments that are not of one run.
    """
    found: list[Trial] = []
    for values in itertools.product(*sweep.over.values()):
        settings = dict(zip(sweep.over, values, strict=True))
        asked = _asked([*sweep.words, *(word for item in settings.items() for word in _words(*item))])
        name = ",".join(f"{key}={value}" for key, value in settings.items())
        found.append(Trial(re.sub(r"[^A-Za-z0-9._=,+-]+", "-", name)[:200], settings, asked.config))
    names = [trial.name for trial in found]
    if len(set(names)) < len(names):  # what tells values apart has no place in the name of a folder
        return [trial._replace(name=f"{i}-{trial.name}"[:200]) for i, trial in enumerate(found)]
    return found


def _words(name: str, value: str) -> list[str]:
    """A setting as `polytask train` takes it; true and false are switches."""
    if value.lower() not in ("true", "false"):
        return [f"--{name}", value]
    before, dot, last = name.rpartition(".")
    return [f"--{name}" if value.lower() == "true" else f"--{before}{dot}no-{last}"]


def _asked(arguments: Sequence[str]) -> Asked:
    kind = kinds.asked(arguments)
    asked = kind.parse(list(arguments))
    if asked.seeds != 1 or asked.groups is not None or asked.run is not None:
        flag = "--seeds" if asked.seeds != 1 else "--groups" if asked.groups is not None else "--run"
        instead = {"--seeds": "--over seed=0..4", "--groups": "a run without groups", "--run": "--run of the sweep"}
        raise ValueError(f"a sweep is of single runs: take {instead[flag]} in place of {flag}")
    return asked


def usual_folder(sweep: SweepConfig, first: Trial) -> Path:
    """runs/sweep- with the names of what is trained and of what differs."""
    kind = kinds.kind_for(first.config)
    config = first.config
    over = "+".join(name.rpartition(".")[2] for name in sweep.over)
    return Path("runs") / f"sweep-{kind.folder(config)}-{over}"[:200]


def check_all(found: Sequence[Trial], folder: Path) -> None:
    """Raises what making a trainer of any configuration does: an unknown task, a combiner that does not fit, ..."""
    seen: set[Any] = set()
    for trial in found:
        if trial.configuration not in seen:
            seen.add(trial.configuration)
            meshed = getattr(trial.config, "mesh", "")  # the devices are where the run will be
            config = dataclasses.replace(trial.config, mesh="") if meshed else trial.config
            with contextlib.closing(kinds.kind_for(config).make(config, {config.seed: folder / trial.name})):
                pass
