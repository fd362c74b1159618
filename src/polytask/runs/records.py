"""What a run writes into its logs and a report reads: one schema for both.

A line of metrics.jsonl holds the names of `EVERY_LINE`, and those of its kind's `Measure`s: a number under the name, or
under "task" one for each task, or both. A line of evaluations.jsonl holds under "task" a "score" and the figure
`Schema.beside` for each task, either of which may be a list with one number for each episode.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from polytask.evaluation.statistics import Estimate
from polytask.evaluation.text import MISSING

EVERY_LINE = ("step", "seconds", "steps_per_second", "peak_memory_bytes", "time")
EVERY_EVALUATION = ("step", "seconds", "task")
SUMMED = ("seconds", "replay_transitions", "replay_bytes")  # where a run joins those of groups
LARGEST = ("peak_memory_bytes",)


class Measure(NamedTuple):
    """Something that training logs: its name in metrics.jsonl, the title of its panel with the unit, and whether every
    run of the kind has it, so that the report says where it is missing."""

    name: str
    title: str
    expected: bool = True


class TaskFacts(NamedTuple):
    """A task as a report shows it.

    - `judged`: what its score is: "success", "normalised return", "accuracy", "R²", ...
    - `counted`: what the score is a mean over: "episode", "row", "instance".
    - `proportion`: whether the score is a share of those, so that one run's interval is Wilson's.
    - `shown`: heading and cell of its line in the table of task facts.
    - `suite`: by which published results are found; `protocol`: choices in which those may differ.
    """

    name: str
    judged: str
    counted: str
    proportion: bool
    shown: dict[str, str]
    suite: str = ""
    protocol: Mapping[str, str] = MappingProxyType({})


class Schema(NamedTuple):
    """How the records of a kind of training read.

    - `unit`: follows a number of steps ("steps per task"); `axis`: names the axis of charts over time.
    - `learner`: what the tasks share ("agent"); `beside`: the key of the figure beside the score in an evaluation, and
      `beside_name` its heading.
    - `digits`: of a score; `final`: at which point the figures of a table are.
    - `measures`: what training logs, in the order of the panels; `logged`: what it logs for other readers.
    - `rate`: the title of the panel of steps per second; `training`: that of the section on the measures.
    - `also`: more figures of an evaluation, by task, and their headings; shown in the table at the end.
    - `against`: whether a run is one task, whose score is shown against the figure beside it.
    """

    unit: str
    axis: str
    learner: str
    beside: str
    beside_name: str
    digits: int
    final: str
    measures: tuple[Measure, ...]
    logged: tuple[str, ...] = ()
    rate: str = "Steps per second"
    training: str = "Training"
    also: tuple[tuple[str, str], ...] = ()
    against: bool = False

    def score(self, value: float | None) -> str:
        """A score as it is shown."""
        return MISSING if value is None or not math.isfinite(value) else f"{value:.{self.digits}f}"

    def bounds(self, estimate: Estimate) -> str:
        """The ends of an interval of a score."""
        return f"{self.score(estimate.low)} to {self.score(estimate.high)}" if estimate.has_interval else MISSING


def mean_score(record: Mapping[str, Any]) -> float:
    """The mean score over the tasks that have one in a line of evaluations.jsonl; NaN where none has.

    A task's score may be a list, of which the mean counts.
    """
    found = record.get("task", {}).get("score", {}).values()
    means = [sum(value) / len(value) if isinstance(value, list) and value else value for value in found]
    known = [float(value) for value in means if isinstance(value, int | float) and math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
