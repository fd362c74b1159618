"""Random streams of tagged transitions, and the replay as a plain Python list would hold it."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from polytask.replay import Replay

OBSERVATION, ACTION = 2, 3
Row = tuple[float, ...]


@dataclasses.dataclass
class Step:
    """One call of `Replay.insert`; `end` says that all episodes are closed before it."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    next_observations: np.ndarray
    valid: np.ndarray
    end: bool

    def insert(self, replay: Replay) -> None:
        if self.end:
            replay.end_episodes()
        fields = [getattr(self, f.name) for f in dataclasses.fields(self)]
        replay.insert(*fields[:-1])


def stream(tasks: int, steps: int, seed: int) -> Iterator[Step]:
    """Steps as a stepper gives them: every observation, action and reward carries a number used nowhere else.

    Episodes terminate, truncate, or do both; tasks restart at rates of their own, so that their counts differ.
    """
    rng = np.random.default_rng(seed)
    tag = iter(range(1, 2**24))

    def fresh(width: int) -> np.ndarray:
        return np.array([[next(tag)] * width for _ in range(tasks)], np.float32)

    rates = rng.choice([0.0, 0.05, 0.3, 1.0], size=(3, tasks), p=[0.2, 0.4, 0.3, 0.1])
    rates[2] = np.minimum(rates[2], 0.7)
    now = fresh(OBSERVATION)
    for _ in range(steps):
        end = rng.random() < 0.03
        if end:
            now = fresh(OBSERVATION)
        terminated, truncated, invalid = rng.random((3, tasks)) < rates
        actual, after = fresh(OBSERVATION), fresh(OBSERVATION)
        yield Step(now, fresh(ACTION), fresh(1)[:, 0], terminated, truncated, actual, ~invalid, end)
        over = (terminated | truncated | invalid)[:, None]
        now = np.where(over, after, actual)


class Model:
    """What `Replay` promises: the last `capacity` slots of a list that holds every transition ever inserted.

    Where an episode's last observation needs a slot of its own, the list holds None.
    """

    def __init__(self, tasks: int, capacity: int) -> None:
        self.slots: list[list[Row | None]] = [[] for _ in range(tasks)]
        self.running = [False] * tasks
        self.capacity = capacity

    def insert(self, step: Step) -> None:
        for task, slots in enumerate(self.slots):
            if step.end or not step.valid[task]:
                self.running[task] = False
            if not step.valid[task]:
                continue
            if self.running[task]:
                slots.pop()
            slots += [row(step, task), None]
            self.running[task] = not (step.terminated[task] or step.truncated[task])

    def held(self, task: int) -> set[Row]:
        return {slot for slot in self.slots[task][-self.capacity :] if slot is not None}


def row(step: Step, task: int) -> Row:
    """A transition as numbers: observation, action, reward, continues, next observation, task."""
    return (
        *step.observations[task].tolist(),
        *step.actions[task].tolist(),
        float(step.rewards[task]),
        float(not step.terminated[task]),
        *step.next_observations[task].tolist(),
        float(task),
    )


def rows(batch) -> np.ndarray:
    """A batch in the form of `row`, one transition a line."""
    columns = [np.asarray(x) for x in batch]
    columns = [x if x.ndim == 3 else x[..., None] for x in columns]
    return np.concatenate(columns, axis=-1).reshape(-1, 2 * OBSERVATION + ACTION + 3)


def held_by(replay: Replay, draws: int = 1500) -> Callable[[int], set[Row]]:
    """What sampling finds in each task. Of at most 60 transitions 1500 draws miss one with probability 1e-9."""
    batch = rows(replay.sample_per_task(draws, np.random.default_rng(0)))
    found = {tuple(line) for line in batch.tolist()}
    return lambda task: {line for line in found if line[-1] == task}
