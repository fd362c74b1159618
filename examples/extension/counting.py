"""A kind of training of a few lines: it counts up to numbers that the tasks name."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from polytask.affinity.averages import Averages
from polytask.config.fields import field
from polytask.runs import Measure, RunFolder, Schema, TaskFacts, TaskRow, checkpoint
from polytask.training import Common, Kind, Measured, Record, RunConfig, Saved, asked, parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class CountingConfig(RunConfig):
    """Counting; steps are additions."""

    goals: tuple[str, ...] = ("counting/three", "counting/five")
    """What to count to."""
    stride_length: float = field(0.1, range="(0, 1]")
    """The share of what is missing that is added in a step."""
    steps: int = field(20, range="[1, inf)", resumable=True)
    eval_every: int = field(5, range="[0, inf)", resumable=True)


GOALS = {"counting/three": 3.0, "counting/five": 5.0, "counting/nine": 9.0, "counting/never": np.nan}


class CountingTrainer:
    """A `polytask.training.trainer.Trainer`."""

    rate_of = 1
    selects = False
    saves_on: tuple[type[Exception], ...] = ()

    def __init__(self, config: CountingConfig, runs: Mapping[int, Path]) -> None:
        self.config, self.tasks, self.step = config, config.goals, 0
        self.facts: Sequence[Mapping[str, Any]] = [{"specs": [{"name": name} for name in config.goals]} for _ in runs]
        self.seconds: Sequence[dict[str, float]] = [{"count": 0.0} for _ in runs]
        self.goals = np.array([GOALS[name] for name in config.goals])
        self.counts = np.zeros((len(runs), len(config.goals))) + np.array(list(runs))[:, None]

    def start(self, found: Any, message: Callable[[str], object]) -> None:
        for i, point in enumerate(found or ()):
            saved, _ = checkpoint.restore(point.path, {"counts": self.counts[i]})
            self.counts[i], self.step = saved["counts"], point.step

    def warm(self, take: Any) -> None:
        for i in range(len(self.counts)):
            self.counts[i] = take(i, {"counts": self.counts[i]})["counts"]

    def task_axes(self, specs: Any) -> Any:
        return {"counts": (0, [spec["name"] for spec in specs])}

    def advance(self, until: int, tick: Any) -> None:
        while self.step < until:
            self.counts += self.config.stride_length * (self.goals - self.counts)
            self.step += 1
            if tick(self.step):
                break

    def _named(self, values: Any) -> dict[str, float]:
        return dict(zip(self.tasks, np.asarray(values).tolist(), strict=True))

    def metrics(self) -> list[Record | None]:
        return [{"missing": float((self.goals - own).sum()), "task": {}} for own in self.counts]

    def evaluate(self) -> list[Record | None]:
        return [
            {"task": {"score": self._named(own / self.goals), "missing": self._named(self.goals - own)}}
            for own in self.counts
        ]

    def affinity(self) -> list[Mapping[str, Any]]:
        if not self.config.affinity_every:
            return []
        ones = np.ones((len(self.tasks),) * 2, np.float32)
        return [{"model": {"transference": Averages(ones, ones, ones.astype(np.int32))}} for _ in self.counts]

    def faults(self) -> list[str | None]:
        return [None if np.isfinite(own).all() else "the count is not finite" for own in self.counts]

    def saved(self) -> list[Saved]:
        return [Saved({"counts": own}, {}) for own in self.counts]

    def ended(self) -> bool:
        return False

    def conclude(self) -> None:
        pass

    def rows(self) -> list[TaskRow]:
        return [TaskRow(name, "score", float(value)) for name, value in zip(self.tasks, self.counts[0], strict=True)]

    def close(self) -> None:
        pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(CountingConfig, Common):
    """Counts."""

    goals: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="GOAL ...")] = ()


def _load(run: Path) -> Any:
    return checkpoint.read_arrays(checkpoint.find(run).path)["counts"]


KIND = Kind(
    name="counting",
    config=CountingConfig,
    facts=("specs",),
    accepts=lambda arguments: any(argument.startswith("counting/") for argument in arguments),
    parse=lambda arguments: asked(parse(Arguments, arguments, Arguments()), CountingConfig),
    folder=lambda config: "counting",
    make=CountingTrainer,
    show=lambda config, trainer, runs: print(f"counts to {', '.join(config.goals)}"),
    tasks=lambda config: config.goals,
    of_tasks=lambda config, names: dataclasses.replace(config, goals=names),
    load=_load,
    measure=lambda run, options: Measured(
        f"counted to {_load(run).tolist()}", {"step": RunFolder(run).read_evaluations()[-1]["step"]}
    ),
    schema=Schema(
        unit="additions",
        axis="additions",
        learner="counter",
        beside="missing",
        beside_name="missing",
        digits=2,
        final="As counted.",
        measures=(Measure("missing", "What is missing"),),
    ),
    task_facts=lambda content: tuple(
        TaskFacts(str(spec["name"]), "share", "count", False, {"Task": str(spec["name"])}) for spec in content["specs"]
    ),
)
