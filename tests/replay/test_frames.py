"""The replay of images against a list of whole stacks."""

import numpy as np
import pytest

from polytask.replay import Replay
from polytask.replay.buffer import slot_bytes
from polytask.tasks import Box, Choices, Image, Named, TaskSet, TaskSpec, Vector, padding
from polytask.tasks.spaces import images

GAME = TaskSpec("a/game", "a", Image(7, 8, 2, stack=4), Choices((3,)), 100)
ROBOT_PARTS = (("camera", Image(7, 8, 1, stack=2)), ("joints", Vector(2)), ("wrist", Image(9, 7, 3)))
ROBOT = TaskSpec("a/robot", "a", Named(ROBOT_PARTS), Box((-1.0,) * 2, (1.0,) * 2), 100)
WALKER = TaskSpec("a/walker", "a", Vector(3), Box((-1.0,), (1.0,)), 100)
TASKS = TaskSet((GAME, ROBOT, WALKER))


def make(capacity, **options):
    there = [tuple(zip(TASKS.places(i), images(spec.observation), strict=True)) for i, spec in enumerate(TASKS)]
    return Replay(3, TASKS.observation_dim, TASKS.action_width, capacity, images=there, **options)


def stream(steps, seed):
    """What `Replay.insert` takes, and whether episodes are closed before; every reward is used once.

    Stacks are as stepping makes them, of frames of noise.
    """
    rng = np.random.default_rng(seed)
    seen = [None, None, None]

    def frame(space):
        if isinstance(space, Named):
            return {name: frame(part) for name, part in space.parts}
        if isinstance(space, Vector):
            return rng.normal(size=space.size).astype(np.float32)
        return rng.integers(0, 256, (space.height, space.width, space.channels), np.uint8)

    def together():
        out = padding.zeros(TASKS, 3)
        for row, observation in enumerate(seen):
            padding.write(TASKS, row, observation, out, row)
        return out

    def advance(fresh):
        for row, spec in enumerate(TASKS):
            before = None if fresh[row] else seen[row]
            seen[row] = padding.stacked(spec.observation, frame(spec.observation), before)

    advance([True] * 3)
    for step in range(steps):
        end = rng.random() < 0.03
        if end:
            advance([True] * 3)
        now = together()
        advance([False] * 3)
        terminated, truncated, invalid = rng.random((3, 3)) < np.array([[0.05], [0.08], [0.04]])
        rewards = (np.arange(3) + 3 * step).astype(np.float32)
        actions = rng.normal(size=(3, TASKS.action_width)).astype(np.float32)
        yield (now, actions, rewards, terminated, truncated, together(), ~invalid), end
        over = terminated | truncated | invalid
        kept = list(seen)
        advance(over)
        seen[:] = [fresh if ended else old for fresh, old, ended in zip(seen, kept, over, strict=True)]


class Model:
    """A list of slots: a transition's reward and how many of its episode went before it, or None."""

    def __init__(self, capacity):
        self.capacity, self.slots, self.age, self.inserted = capacity, [[], [], []], [None] * 3, {}

    def insert(self, step, end):
        now, _, rewards, terminated, truncated, after, valid = step
        for task, slots in enumerate(self.slots):
            if end or not valid[task]:
                self.age[task] = None
            if not valid[task]:
                continue
            if self.age[task] is not None:
                slots.pop()
            age = 0 if self.age[task] is None else self.age[task] + 1
            slots += [(float(rewards[task]), age), None]
            self.age[task] = None if terminated[task] or truncated[task] else age
            self.inserted[float(rewards[task])] = [
                *(array[task].copy() for array in padding.arrays(now)),
                *(array[task].copy() for array in padding.arrays(after)),
            ]

    def held(self, task):
        slots, stack = self.slots[task], max((i.stack for i in images(TASKS.specs[task].observation)), default=1)
        oldest = max(len(slots) - self.capacity, 0)
        return {s[0] for i, s in enumerate(slots) if s and i >= oldest and i - min(s[1], stack - 1) >= oldest}


def filled(capacity, steps, seed, *replays):
    model = Model(capacity)
    for step, end in stream(steps, seed):
        model.insert(step, end)
        for replay in replays:
            if end:
                replay.end_episodes()
            replay.insert(*step)
    return model


def assert_holds(replay, model):
    assert replay.counts.tolist() == [len(model.held(task)) for task in range(3)]
    batch = replay.sample_per_task(1500, np.random.default_rng(0))
    for task in range(3):
        assert set(batch.rewards[task].tolist()) == model.held(task)
        for i, reward in enumerate(batch.rewards[task][:60].tolist()):
            found = [*padding.arrays(batch.observations), *padding.arrays(batch.next_observations)]
            for got, wanted in zip(found, model.inserted[reward], strict=True):
                np.testing.assert_array_equal(got[task, i], wanted)


@pytest.mark.parametrize("capacity", [5, 6, 11, 40, 500])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_sampled_is_what_was_inserted(capacity, seed):
    replay = make(capacity)
    for steps in (20, 130):
        replay = make(capacity)
        model = filled(capacity, steps, seed, replay)
        if all(model.held(task) for task in range(3)):
            assert_holds(replay, model)
        else:
            assert replay.counts.tolist() == [len(model.held(task)) for task in range(3)]


@pytest.mark.parametrize("seed", range(20, 30))
def test_counts_are_right_after_every_step(seed):
    capacity = 5 + seed % 4
    replay, model = make(capacity), Model(capacity)
    for step, end in stream(60, seed):
        model.insert(step, end)
        if end:
            replay.end_episodes()
        replay.insert(*step)
        assert replay.counts.tolist() == [len(model.held(task)) for task in range(3)]


def test_the_successor_of_several_steps_has_the_stack_of_its_own_step():
    one, three = make(40), make(40, n_step=3)
    model = filled(40, 100, 4, one, three)
    batch = three.sample(1, 200, np.random.default_rng(0))
    singles = one.sample(1, 200, np.random.default_rng(0))
    for i, reward in enumerate(singles.rewards[0].tolist()):
        task, first = int(singles.task_ids[0, i]), reward
        slots = model.slots[task]
        last = next(k for k, slot in enumerate(slots) if slot and slot[0] == first)
        for _ in range(2):
            last = last + 1 if slots[last + 1] else last
        wanted = model.inserted[slots[last][0]][len(padding.arrays(one.sample(1, 1, np.random.default_rng(0))[0])) :]
        for got, array in zip(padding.arrays(batch.next_observations), wanted, strict=True):
            np.testing.assert_array_equal(got[0, i], array)


@pytest.mark.parametrize("capacity", [6, 60])
def test_segments_and_the_disk_hold_the_same(capacity, tmp_path, monkeypatch):
    monkeypatch.setattr("polytask.replay.disk.CHUNK", 4)
    plain, disk, segments, rng = make(capacity), make(capacity, folder=tmp_path), [], np.random.default_rng(0)
    heads = plain.head.copy()
    for step, end in stream(150, 7):
        for replay in (plain, disk):
            if end:
                replay.end_episodes()
            replay.insert(*step)
        if rng.random() < 0.1:
            segments.append(plain.since(heads))
            heads = plain.head.copy()
    segments.append(plain.since(heads))
    restored = [make(capacity), make(capacity, folder=tmp_path)]
    for replay in restored:
        for segment in segments:
            replay.load(segment)
    for other in (disk, *restored):
        np.testing.assert_array_equal(other.kinds, plain.kinds)
        np.testing.assert_array_equal(other.counts, plain.counts)
        drawn, wanted = (r.sample(2, 50, np.random.default_rng(1)) for r in (other, plain))
        for got, array in zip(padding.arrays(drawn.observations), padding.arrays(wanted.observations), strict=True):
            np.testing.assert_array_equal(got, array)
    assert segments[0]["frames/0/0"].dtype == np.uint8


def test_batches_have_whole_stacks_of_bytes_and_zeros_where_a_task_has_no_image():
    replay = make(30)
    filled(30, 60, 1, replay)
    batch = replay.sample(2, 40, np.random.default_rng(0))
    assert TASKS.images == ((7, 8, 8), (9, 7, 3))
    assert [x.shape for x in padding.arrays(batch.observations)] == [(2, 40, 3), (2, 40, 7, 8, 8), (2, 40, 9, 7, 3)]
    assert {x.dtype for x in batch.observations.images} == {np.dtype(np.uint8)}
    assert not batch.observations.images[0][batch.task_ids == 2].any()
    assert not batch.observations.images[0][batch.task_ids == 1][..., 2:].any()


def test_a_replay_that_holds_no_stack_is_refused():
    with pytest.raises(ValueError, match="at least 5"):
        make(4)


def test_a_million_frames_take_less_than_eight_gigabytes():
    """84x84 bytes, a byte of how far its stack goes back, and the row; of a stack of four each is held once."""
    atari = Image(84, 84, 1, stack=4)
    assert slot_bytes(0, 1, (atari,)) == 84 * 84 + 1 + 8 + 1
    assert 1_000_000 * slot_bytes(0, 1, (atari,)) < 8e9
    replay = Replay(1, 0, 1, 1000, images=[[(0, atari)]])
    assert replay.frames[0][0].rows.nbytes + replay.frames[0][0].before.nbytes + replay.rows.nbytes == 1000 * 7065


def test_bytes_grow_with_use_up_to_the_capacity():
    replay = make(20)
    filled(20, 100, 1, replay)
    held = sum(f.rows.nbytes + f.before.nbytes for own in replay.frames for f in own)
    assert replay.nbytes == replay.rows.nbytes + replay.kinds.nbytes + held
