"""One ring of raw transitions per task, each observation stored once."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from polytask.replay.batch import Batch
from polytask.replay.disk import DiskRows

VOID, TERMINATED, CONTINUES = 0, 1, 2  # of a slot: it holds no transition, one that terminated, or any other


def slot_bytes(observation_dim: int, action_dim: int) -> int:
    """Bytes of one slot: its row in float32, and its kind."""
    return 4 * (observation_dim + action_dim + 1) + 1


def balanced_size(batch_size: int, tasks: int) -> int:
    """Transitions in a batch with equally many of each task: `batch_size`, rounded up."""
    return tasks * -(-batch_size // tasks)


class Replay:
    """Rings of `capacity` slots for each of T tasks, in float32.

    A slot is one row [observation, action, reward] and its kind; the successor's observation is the next slot's, so
    nothing is stored twice. Where an episode ends, its last observation takes a slot of its own, which is never drawn.
    Memory is touched only as it fills. With a `folder` the rows lie in an unnamed file there instead, of which the
    system keeps in memory what it has room for; what is drawn is the same. If `steps` are given, no more than so many
    insertions will come, and no room is asked for that they cannot fill.

    With `n_step` above 1 what is drawn reaches over n steps, or fewer where the episode ends before: its reward is the
    sum of theirs by the task's discount of `discounts`, `continues` holds the discount of all but the last of them, and
    the successor is that of the last (Sutton 1988).

    Raises ValueError for a capacity below 2 slots, and OSError where the file finds no room.
    """

    def __init__(
        self,
        tasks: int,
        observation_dim: int,
        action_dim: int,
        capacity: int,
        folder: Path | None = None,
        steps: int | None = None,
        n_step: int = 1,
        discounts: Float[np.ndarray, " tasks"] | None = None,
    ) -> None:
        if capacity < 2:
            raise ValueError(f"a replay of {capacity} slots per task holds no transition; give at least 2")
        self.tasks, self.capacity, self.n_step = tasks, capacity, n_step
        self.discounts = np.ones(tasks, np.float32) if discounts is None else discounts
        # A step takes two slots at most. Smaller rings that never come round hold the same.
        self.ring = capacity if steps is None else min(capacity, 2 * steps + 2)
        self.observation_dim, self.action_dim = observation_dim, action_dim
        shape = (tasks * self.ring, observation_dim + action_dim + 1)
        self._disk = None if folder is None else DiskRows(folder, shape, self.ring)
        self.rows = np.zeros(shape, np.float32) if self._disk is None else self._disk.rows
        self.kinds = np.zeros(tasks * self.ring, np.uint8)
        self.head = np.zeros(tasks, np.int64)  # where the next transition goes, counted without wrapping
        self.open = np.zeros(
            tasks, bool
        )  # whether the slot at the head holds the last observation of a running episode
        self.counts = np.zeros(tasks, np.int64)  # transitions held

    @property
    def transitions(self) -> int:
        """How many transitions are held, over all tasks."""
        return int(self.counts.sum())

    @property
    def nbytes(self) -> int:
        """Bytes in use, over all tasks."""
        filled = int(np.minimum(self.head + 1, self.ring).sum()) if self.head.any() else 0
        return filled * slot_bytes(self.observation_dim, self.action_dim)

    def insert(
        self,
        observations: Float[np.ndarray, "tasks observation"],
        actions: Float[np.ndarray, "tasks action"],
        rewards: Float[np.ndarray, " tasks"],
        terminated: Bool[np.ndarray, " tasks"],
        truncated: Bool[np.ndarray, " tasks"],
        next_observations: Float[np.ndarray, "tasks observation"],
        valid: Bool[np.ndarray, " tasks"],
    ) -> None:
        """Adds one transition for every task that is `valid`; `next_observations` are the true successors."""
        self._close(~valid)
        if self._disk is not None:
            self._disk.claim(self.head + 2)
        tasks, o, a = np.flatnonzero(valid), self.observation_dim, self.action_dim
        slot = tasks * self.ring + self.head[tasks] % self.ring
        after = tasks * self.ring + (self.head[tasks] + 1) % self.ring
        self.rows[slot, :o] = observations[tasks]
        self.rows[slot, o : o + a] = actions[tasks]
        self.rows[slot, -1] = rewards[tasks]
        self.rows[after, :o] = next_observations[tasks]
        self.counts[tasks] += 1 - (self.kinds[slot] != VOID) - (self.kinds[after] != VOID).astype(np.int64)
        self.kinds[slot] = np.where(terminated[tasks], TERMINATED, CONTINUES)
        self.kinds[after] = VOID
        ended = (terminated | truncated)[tasks]
        self.head[tasks] += 1 + ended
        self.open[tasks] = ~ended

    def end_episodes(self) -> None:
        """Closes every running episode: the next insertion belongs to another one."""
        self._close(np.ones(self.tasks, bool))

    def _close(self, tasks: Bool[np.ndarray, " tasks"]) -> None:
        # The running episode's last observation keeps its slot, unsampled.
        self.head[tasks & self.open] += 1
        self.open[tasks] = False

    def sample(
        self,
        batches: int,
        batch_size: int,
        generator: np.random.Generator,
        shares: Float[np.ndarray, " tasks"] | None = None,
    ) -> Batch:
        """`batches` independent batches, uniform over tasks and, within a task, over its transitions.

        `shares` are the tasks' probabilities where they are not the same. Raises ValueError while a task holds no
        transition.
        """
        shape = (batches, batch_size)
        if shares is None:
            task_ids = generator.integers(self.tasks, size=shape)
        else:
            task_ids = generator.choice(self.tasks, size=shape, p=shares)
        return self._gather(task_ids, self._draw(task_ids, generator))

    def sample_per_task(self, batch_size: int, generator: np.random.Generator) -> Batch:
        """One batch from each task, with a leading task axis."""
        task_ids = np.repeat(np.arange(self.tasks)[:, None], batch_size, axis=1)
        return self._gather(task_ids, self._draw(task_ids, generator))

    def sample_balanced(self, batches: int, batch_size: int, generator: np.random.Generator) -> Batch:
        """As `sample`, with batch_size / tasks transitions (rounded up) of each task, in the order of the tasks."""
        each = balanced_size(batch_size, self.tasks) // self.tasks
        task_ids = np.tile(np.repeat(np.arange(self.tasks), each), (batches, 1))
        return self._gather(task_ids, self._draw(task_ids, generator))

    def _draw(self, task_ids: Int[np.ndarray, "a b"], generator: np.random.Generator) -> Int[np.ndarray, "a b"]:
        filled = np.minimum(self.head + 1, self.ring)
        if not self.counts.all():
            raise ValueError("every task needs a transition in the replay before it can be sampled")
        index = task_ids * self.ring + generator.integers(filled[task_ids])
        # Slots that hold no transition (an episode's last observation, the newest one) are few: draw those again.
        while True:
            void = self.kinds[index] == VOID
            if not void.any():
                return index
            tasks = task_ids[void]
            index[void] = tasks * self.ring + generator.integers(filled[tasks])

    def _gather(self, task_ids: Int[np.ndarray, "a b"], index: Int[np.ndarray, "a b"]) -> Batch:
        o, a = self.observation_dim, self.action_dim
        rows = np.take(self.rows, index, axis=0)
        rewards, discount, last = self._ahead(rows[..., -1], index, self.discounts[task_ids])
        return Batch(
            observations=rows[..., :o],
            actions=rows[..., o : o + a],
            rewards=rewards,
            continues=discount * (self.kinds[last] == CONTINUES).astype(np.float32),
            next_observations=np.take(self.rows, self._after(last), axis=0)[..., :o],
            task_ids=task_ids.astype(np.int32),
        )

    def _ahead(
        self, rewards: Float32[np.ndarray, "a b"], index: Int[np.ndarray, "a b"], discounts: Float32[np.ndarray, "a b"]
    ) -> tuple[Float32[np.ndarray, "a b"], Float32[np.ndarray, "a b"], Int[np.ndarray, "a b"]]:
        """The reward over `n_step` steps, the discount of all but the last of them, and where the last lies."""
        discount, last, going = np.ones_like(rewards), index, np.ones(index.shape, bool)
        for _ in range(self.n_step - 1):
            after = self._after(last)
            # A terminated step is the last of its episode; behind any other the next observation stands in a void.
            going &= (self.kinds[last] == CONTINUES) & (self.kinds[after] != VOID)
            last = np.where(going, after, last)
            discount = np.where(going, discount * discounts, discount)
            rewards = rewards + np.where(going, discount * self.rows[last, -1], np.float32(0))
        return rewards, discount, last

    def _after(self, index: Int[np.ndarray, "a b"]) -> Int[np.ndarray, "a b"]:
        return np.where((index + 1) % self.ring == 0, index + 1 - self.ring, index + 1)

    def since(self, heads: Int[np.ndarray, " tasks"]) -> dict[str, np.ndarray]:
        """What was written from `heads` on, as arrays for a segment file; `load` puts it back.

        Its rows are [observation, action, reward, continues].
        """
        arrays: dict[str, np.ndarray] = {
            "begin": heads.copy(),
            "end": self.head.copy(),
            "open": self.open.copy(),
            "capacity": np.array(self.capacity),
        }
        for task in range(self.tasks):
            slots = self._slots(task, int(heads[task]), int(self.head[task]))
            kinds = self.kinds[slots]
            continues = (kinds == CONTINUES).astype(np.float32)[:, None]
            arrays[f"rows/{task}"] = np.concatenate([self.rows[slots], continues], axis=1)
            arrays[f"sampled/{task}"] = kinds != VOID
        return arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Writes back what `since` gave. Segments are loaded in their order."""
        if self._disk is not None:
            self._disk.claim(arrays["end"] + 1)
        for task in range(self.tasks):
            slots = self._slots(task, int(arrays["begin"][task]), int(arrays["end"][task]))
            rows = arrays[f"rows/{task}"]
            self.rows[slots] = rows[:, :-1]
            kinds = np.where(rows[:, -1] == 0, TERMINATED, CONTINUES)
            self.kinds[slots] = np.where(arrays[f"sampled/{task}"], kinds, VOID)
        self.head, self.open = arrays["end"].copy(), arrays["open"].copy()
        self.counts = (self.kinds != VOID).reshape(self.tasks, self.ring).sum(axis=1)

    def overwritten(self, end: Int[np.ndarray, " tasks"]) -> bool:
        """Whether nothing is left of what had been written when the heads stood at `end`."""
        return bool((end <= self.head - self.capacity).all())

    def _slots(self, task: int, begin: int, end: int) -> Int[np.ndarray, " slots"]:
        # The slot at `end` holds the newest observation; older laps of the ring are gone.
        first = max(begin, end + 1 - self.ring)
        return task * self.ring + np.arange(first, end + 1) % self.ring
