"""What a kind of training provides, so that `run` can train, log, evaluate, save and resume it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import PyTree

from polytask.runs.checkpoint import Checkpoint
from polytask.runs.progress import TaskRow
from polytask.runs.segments import SegmentRef

Record = dict[str, Any]
TaskAxes = Mapping[str, tuple[int, Sequence[str]]]
Tick = Callable[[int], bool]  # tells that a step is done; true where training is asked to stop


class Saved(NamedTuple):
    """What a checkpoint of one seed holds: arrays, anything that JSON holds, and segments of the replay."""

    arrays: PyTree
    counters: dict[str, Any]
    segments: Sequence[SegmentRef] = ()


class Diverged(FloatingPointError):
    """Something that was learned is not finite. The message says what, at which step, and what to lower."""


class SeedsStopped(RuntimeError):
    """Some seeds stopped learning; all that was learned until then is saved. The message says which, and why."""


@runtime_checkable
class Trainer(Protocol):
    """Trains one seed, or several as one program; lists have an entry for each seed, in order.

    Making one reads tasks and data, and raises where the configuration cannot be; what takes time waits for `start`.

    - `config`: with the numbers that the tasks decide; its seed is not looked at.
    - `facts`: what config.json says of tasks and data beside the configuration.
    - `tasks`: names, as in the records.
    - `step`: how far training is.
    - `seconds`: wall time by what it went to; "evaluate" and "checkpoint" are filled in by `run`.
    - `rate_of`: what one step counts as in the rate that is shown (an online step is one of every task).
    - `selects`: whether it ends by itself when patience has run out; else `run` judges by the scores of evaluations.
    - `saves_on`: errors after which what was learned until then is whole, and is saved.
    """

    config: Any
    facts: Sequence[Mapping[str, Any]]
    tasks: tuple[str, ...]
    rate_of: int
    selects: bool
    saves_on: tuple[type[Exception], ...]

    @property
    def step(self) -> int:
        """As above."""
        ...

    @property
    def seconds(self) -> Sequence[dict[str, float]]:
        """As above; there is none before `start`."""
        ...

    def start(self, found: Sequence[Checkpoint] | None, message: Callable[[str], object]) -> None:
        """Begins fresh, or goes on from one checkpoint for each seed; `message` shows a line, at any time from now."""
        ...

    def warm(self, take: Callable[[int, PyTree], PyTree]) -> None:
        """Replaces what was learned, under the names that a checkpoint gives it, by `take(seed's index, learned)`."""
        ...

    def task_axes(self, specs: Sequence[Mapping[str, Any]]) -> TaskAxes:
        """Where tasks have rows or columns in what is learned of them, for a warm start from other tasks.

        `specs` are the tasks as config.json has them, here or there. Returns, by parts of the names of leaves, the axis
        and the name of the task at each of its positions.
        """
        ...

    def advance(self, until: int, tick: Tick) -> None:
        """Trains to step `until`, or less far where `tick` says so or nothing is left to learn.

        Raises Diverged where what is learned is not finite.
        """
        ...

    def metrics(self) -> list[Record | None]:
        """A line of metrics of each seed, None for one that has ended before; `run` adds step, seconds and rate."""
        ...

    def evaluate(self) -> list[Record | None]:
        """An evaluation of each seed, likewise."""
        ...

    def affinity(self) -> list[Mapping[str, Any]]:
        """By part of the model, averages of what the tasks did to each other since this was last asked for."""
        ...

    def faults(self) -> list[str | None]:
        """What is not finite in each seed, asked before every save: such a seed is not saved, and training fails."""
        ...

    def saved(self) -> list[Saved]:
        """What to save now."""
        ...

    def ended(self) -> bool:
        """Whether nothing is left to learn, before the last step."""
        ...

    def conclude(self) -> None:
        """After the last step, with everything saved. Raises what a seed that had to stop has to say."""
        ...

    def rows(self) -> list[TaskRow]:
        """The lines of the display."""
        ...

    def close(self) -> None:
        """Ends what runs beside the training."""
        ...
