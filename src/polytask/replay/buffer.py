"""One ring of raw transitions per task, each observation stored once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from polytask.replay.batch import Batch
from polytask.replay.disk import DiskRows
from polytask.replay.frames import Frames, frame_bytes
from polytask.tasks.spaces import Image, Observations

VOID, TERMINATED, CONTINUES = 0, 1, 2  # of a slot: it holds no transition, one that terminated, or any other


def slot_bytes(observation_dim: int, action_dim: int, images: tuple[Image, ...] = ()) -> int:
    """Bytes of one slot: its row in float32, its kind, and a frame of each image."""
    return 4 * (observation_dim + action_dim + 1) + 1 + frame_bytes(images)


def balanced_size(batch_size: int, tasks: int) -> int:
    """Transitions in a batch with equally many of each task: `batch_size`, rounded up."""
    return tasks * -(-batch_size // tasks)


class Replay:
    """Rings of `capacity` slots for each of T tasks, in float32.

    A slot is one row [observation, action, reward] and its kind; the successor's observation is the next slot's, so
    nothing is stored twice. Where an episode ends, its last observation takes a slot of its own, which is never drawn.
    `images` has the images of each task and their places in `Observations`; of their stacks each frame is held once, in
    uint8, beside the rows. A transition whose stack has lost its oldest frame to a newer one is not drawn.

    Memory is touched only as it fills. With a `folder` the rows lie in an unnamed file there instead, of which the
    system keeps in memory what it has room for; what is drawn is the same. If `steps` are given, no more than so many
    insertions will come, and no room is asked for that they cannot fill.

    With `n_step` above 1 what is drawn reaches over n steps, or fewer where the episode ends before: its reward is the
    sum of theirs by the task's discount of `discounts`, `continues` holds the discount of all but the last of them, and
    the successor is that of the last (Sutton 1988).

    Raises ValueError for a capacity below 2 slots, or that holds no stack, and OSError where the file finds no room.
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
        images: Sequence[Sequence[tuple[int, Image]]] = (),
    ) -> None:
        least = 1 + max((image.stack for own in images for _, image in own), default=1)
        if capacity < least:
            raise ValueError(f"a replay of {capacity} slots per task holds no transition; give at least {least}")
        self.tasks, self.capacity, self.n_step = tasks, capacity, n_step
        self.discounts = np.ones(tasks, np.float32) if discounts is None else discounts
        # A step takes two slots at most. Smaller rings that never come round hold the same.
        self.ring = capacity if steps is None else min(capacity, 2 * steps + 2)
        self.observation_dim, self.action_dim = observation_dim, action_dim
        shape = (tasks * self.ring, observation_dim + action_dim + 1)
        self._disk = None if folder is None else DiskRows(folder, shape, self.ring)
        self.rows = np.zeros(shape, np.float32) if self._disk is None else self._disk.rows
        self.kinds = np.zeros(tasks * self.ring, np.uint8)
        self.frames = [[Frames(image, place, self.ring, folder) for place, image in own] for own in images]
        self._shapes = _shapes(images)
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
        filled = np.minimum(self.head + 1, self.ring) if self.head.any() else np.zeros(self.tasks, np.int64)
        total = int(filled.sum()) * slot_bytes(self.observation_dim, self.action_dim)
        for own, slots in zip(self.frames, filled.tolist(), strict=bool(self.frames)):
            total += slots * frame_bytes(tuple(frames.image for frames in own))
        return total

    def insert(
        self,
        observations: Float[np.ndarray, "tasks observation"] | Observations,
        actions: Float[np.ndarray, "tasks action"],
        rewards: Float[np.ndarray, " tasks"],
        terminated: Bool[np.ndarray, " tasks"],
        truncated: Bool[np.ndarray, " tasks"],
        next_observations: Float[np.ndarray, "tasks observation"] | Observations,
        valid: Bool[np.ndarray, " tasks"],
    ) -> None:
        """Adds one transition for every task that is `valid`; `next_observations` are the true successors.

        Images are whole stacks.
        """
        self._close(~valid)
        vector, next_vector = (
            x.vector if isinstance(x, Observations) else x for x in (observations, next_observations)
        )
        if self._disk is not None:
            self._disk.claim(self.head + 2)
        tasks, o, a = np.flatnonzero(valid), self.observation_dim, self.action_dim
        slot = tasks * self.ring + self.head[tasks] % self.ring
        after = tasks * self.ring + (self.head[tasks] + 1) % self.ring
        self.rows[slot, :o] = vector[tasks]
        self.rows[slot, o : o + a] = actions[tasks]
        self.rows[slot, -1] = rewards[tasks]
        self.rows[after, :o] = next_vector[tasks]
        self.counts[tasks] += 1 - (self.kinds[slot] != VOID) - (self.kinds[after] != VOID).astype(np.int64)
        self.kinds[slot] = np.where(terminated[tasks], TERMINATED, CONTINUES)
        self.kinds[after] = VOID
        if isinstance(observations, Observations) and isinstance(next_observations, Observations):
            self._insert_frames(tasks, observations, next_observations)
        ended = (terminated | truncated)[tasks]
        self.head[tasks] += 1 + ended
        self.open[tasks] = ~ended

    def _insert_frames(self, tasks: Int[np.ndarray, " n"], now: Observations, after: Observations) -> None:
        for task in tasks.tolist():
            head = int(self.head[task])
            slot, following = head % self.ring, (head + 1) % self.ring
            for frames in self.frames[task]:
                frames.claim(head + 2)
                before = int(frames.before[slot]) if self.open[task] else 0
                frames.put(slot, now.images[frames.place][task], before)
                frames.put(following, after.images[frames.place][task], before + 1)
            self._void_broken(task, head + 1)

    def _void_broken(self, task: int, written: int) -> None:
        """Lets no transition be drawn whose stack has lost a frame; `written` is the last slot, without wrapping."""
        for frames in self.frames[task]:
            slots = task * self.ring + frames.broken(written)
            self.counts[task] -= int((self.kinds[slots] != VOID).sum())
            self.kinds[slots] = VOID

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
        after = self._after(last)
        return Batch(
            observations=self._with_images(rows[..., :o], task_ids, index),
            actions=rows[..., o : o + a],
            rewards=rewards,
            continues=discount * (self.kinds[last] == CONTINUES).astype(np.float32),
            next_observations=self._with_images(np.take(self.rows, after, axis=0)[..., :o], task_ids, after),
            task_ids=task_ids.astype(np.int32),
        )

    def _with_images(
        self, vectors: Float32[np.ndarray, "a b o"], task_ids: Int[np.ndarray, "a b"], index: Int[np.ndarray, "a b"]
    ) -> Float32[np.ndarray, "a b o"] | Observations:
        """The vectors, and beside them the stacks at `index`, where any task has images."""
        if not self._shapes:
            return vectors
        images = [np.zeros((index.size, *shape), np.uint8) for shape in self._shapes]
        for task, own in enumerate(self.frames):
            of_task = np.flatnonzero(task_ids == task)
            slots = index.ravel()[of_task] - task * self.ring
            for frames in own:
                images[frames.place][of_task, ..., : frames.image.shape[2]] = frames.stacks(slots)
        return Observations(vectors, tuple(image.reshape(*index.shape, *image.shape[1:]) for image in images))

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

        Its rows are [observation, action, reward, continues]; frames are uint8.
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
            for i, frames in enumerate(self.frames[task] if self.frames else ()):
                arrays[f"frames/{task}/{i}"] = frames.rows[slots - task * self.ring]
                arrays[f"before/{task}/{i}"] = frames.before[slots - task * self.ring]
        return arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Writes back what `since` gave. Segments are loaded in their order.

        One from before tasks were added holds the first ones alone.
        """
        tasks = len(arrays["end"])
        if self._disk is not None:
            self._disk.claim(np.pad(arrays["end"] + 1, (0, self.tasks - tasks)))
        for task in range(tasks):
            slots = self._slots(task, int(arrays["begin"][task]), int(arrays["end"][task]))
            rows = arrays[f"rows/{task}"]
            self.rows[slots] = rows[:, :-1]
            kinds = np.where(rows[:, -1] == 0, TERMINATED, CONTINUES)
            self.kinds[slots] = np.where(arrays[f"sampled/{task}"], kinds, VOID)
            for i, frames in enumerate(self.frames[task] if self.frames else ()):
                frames.claim(int(arrays["end"][task]) + 1)
                frames.rows[slots - task * self.ring] = arrays[f"frames/{task}/{i}"]
                frames.before[slots - task * self.ring] = arrays[f"before/{task}/{i}"]
        self.head[:tasks], self.open[:tasks] = arrays["end"], arrays["open"]
        self.counts = (self.kinds != VOID).reshape(self.tasks, self.ring).sum(axis=1)
        for task in range(tasks if self.frames else 0):
            self._void_broken(task, int(self.head[task]) - (not self.open[task]))

    def overwritten(self, end: Int[np.ndarray, " tasks"]) -> bool:
        """Whether nothing is left of what had been written when the heads stood at `end`."""
        return bool((end <= self.head - self.capacity).all())

    def _slots(self, task: int, begin: int, end: int) -> Int[np.ndarray, " slots"]:
        # The slot at `end` holds the newest observation; older laps of the ring are gone.
        first = max(begin, end + 1 - self.ring)
        return task * self.ring + np.arange(first, end + 1) % self.ring


def _shapes(images: Sequence[Sequence[tuple[int, Image]]]) -> list[tuple[int, int, int]]:
    """The shapes of `Observations.images`: as many channels as the most that an image has there."""
    shapes: dict[int, tuple[int, int, int]] = {}
    for place, image in (pair for own in images for pair in own):
        shapes[place] = (image.height, image.width, max(image.shape[2], shapes.get(place, (0, 0, 0))[2]))
    return [shapes[place] for place in sorted(shapes)]
