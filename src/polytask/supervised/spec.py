"""What a supervised task is: facts as data, and how the outputs of all tasks lie side by side."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

Kind = Literal["regression", "binary", "classes", "segmentation", "depth", "normals", "mask"]

DENSE = ("segmentation", "depth", "normals", "mask")
"""The kinds with a label at every pixel. A problem has only these, or none of them."""

_WIDTHS = {"depth": 1, "normals": 3, "mask": 1}


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """The facts of one task of a supervised problem.

    | kind | labels | loss of a row | score |
    |---|---|---|---|
    | regression | `outputs` real numbers | mean squared error | R², 1 - SSE / SST |
    | binary | `outputs` independent answers, 0 or 1 | mean sigmoid cross-entropy, nats | accuracy |
    | classes | one of `outputs` classes, counted from 0 | softmax cross-entropy, nats | accuracy |

    With a label at every pixel of an image, `outputs` being that of a pixel; the row is an image, its loss a mean over
    the pixels that are labelled:

    | kind | labels | loss of a pixel | score |
    |---|---|---|---|
    | segmentation | one of `outputs` classes; others, as 255, are missing | softmax cross-entropy | mIoU |
    | depth | a positive number; 0 is missing | absolute error | share within 25 % |
    | normals | a unit vector (right, up, towards the eye); 0 is missing | 1 - cosine | share within 11.25 degrees |
    | mask | 0 or 1 | sigmoid cross-entropy, both sides balanced | F, at the best threshold of the set |

    Raises ValueError for a kind, a name or a number of outputs that cannot be.
    """

    name: str
    kind: Kind
    outputs: int = 1

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a task needs a name")
        if self.kind not in get_args(Kind):
            raise ValueError(f"task '{self.name}': kind is {', '.join(get_args(Kind))}, not '{self.kind}'")
        if self.outputs != _WIDTHS.get(self.kind, self.outputs):
            raise ValueError(f"task '{self.name}': {self.kind} has {_WIDTHS[self.kind]} outputs, not {self.outputs}")
        least = 2 if self.kind in ("classes", "segmentation") else 1
        if self.outputs < least:
            raise ValueError(f"task '{self.name}': {self.kind} needs outputs of at least {least}, not {self.outputs}")


class HeadGroup(NamedTuple):
    """Tasks of one kind and size, whose outputs are the model's columns from `start` to `stop`, task after task."""

    kind: Kind
    outputs: int
    tasks: tuple[int, ...]
    start: int

    @property
    def stop(self) -> int:
        return self.start + len(self.tasks) * self.outputs


def groups(tasks: Sequence[HeadSpec]) -> tuple[HeadGroup, ...]:
    """The tasks by kind and size, so that forty heads cost a few operations rather than forty times a few.

    Raises ValueError if there is no task, or a name stands there twice.
    """
    if not tasks:
        raise ValueError("a problem needs at least one task")
    names = [task.name for task in tasks]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"named more than once: {', '.join(repeated)}; give each task a name of its own")
    if 0 < sum(task.kind in DENSE for task in tasks) < len(names):
        raise ValueError(f"tasks of pixels ({', '.join(DENSE)}) do not mix with tasks of whole rows")
    found: list[HeadGroup] = []
    for kind, outputs in _sizes(tasks):
        members = tuple(i for i, task in enumerate(tasks) if (task.kind, task.outputs) == (kind, outputs))
        found.append(HeadGroup(kind, outputs, members, found[-1].stop if found else 0))
    return tuple(found)


def dense(tasks: Sequence[HeadSpec]) -> bool:
    """Whether the labels are those of pixels."""
    return tasks[0].kind in DENSE


def columns(tasks: Sequence[HeadSpec]) -> list[str]:
    """The name of the task of each of the model's outputs."""
    return [tasks[i].name for group in groups(tasks) for i in group.tasks for _ in range(group.outputs)]


def _sizes(tasks: Sequence[HeadSpec]) -> list[tuple[Kind, int]]:
    return list(dict.fromkeys((task.kind, task.outputs) for task in tasks))
