"""The replay against a plain list, over random sequences of episodes, restarts and laps of the ring."""

import numpy as np
import pytest
from scipy import stats

from polytask.replay import Replay
from polytask.replay.buffer import slot_bytes
from tests.replay.streams import ACTION, OBSERVATION, Model, held_by, rows, stream

TASKS = 3


def make(capacity: int, tasks: int = TASKS) -> Replay:
    return Replay(tasks, OBSERVATION, ACTION, capacity)


def assert_holds(replay: Replay, model: Model) -> None:
    expected = [model.held(task) for task in range(replay.tasks)]
    assert replay.counts.tolist() == [len(h) for h in expected]
    assert replay.transitions == sum(len(h) for h in expected)
    if not all(expected):
        with pytest.raises(ValueError, match="every task needs a transition"):
            replay.sample(1, 1, np.random.default_rng(0))
        return
    found = held_by(replay)
    for task, rows_of_task in enumerate(expected):
        assert found(task) == rows_of_task


@pytest.mark.parametrize("capacity", [2, 3, 7, 20, 60, 1000])
@pytest.mark.parametrize("seed", range(2))
def test_holds_what_a_list_would(capacity, seed):
    replay, model = make(capacity), Model(TASKS, capacity)
    steps = 60 if capacity == 1000 else 150
    for i, step in enumerate(stream(TASKS, steps, seed)):
        step.insert(replay)
        model.insert(step)
        if i % 13 == 0:
            assert_holds(replay, model)
    assert_holds(replay, model)


@pytest.mark.parametrize("seed", range(100, 109))
def test_counts_are_right_after_every_step(seed):
    capacity = 2 + seed % 9
    replay, model = make(capacity), Model(TASKS, capacity)
    for step in stream(TASKS, 120, seed):
        step.insert(replay)
        model.insert(step)
        assert replay.counts.tolist() == [len(model.held(task)) for task in range(TASKS)]


def test_a_full_ring_of_one_long_episode_holds_all_but_one_slot():
    replay = make(10, tasks=1)
    for t in range(35):
        one, yes, no = np.ones((1, OBSERVATION), np.float32), np.ones(1, bool), np.zeros(1, bool)
        replay.insert(t * one, np.zeros((1, ACTION), np.float32), np.float32([t]), no, no, (t + 1) * one, yes)
        assert replay.counts[0] == min(t + 1, 9)
    batch = replay.sample(1, 500, np.random.default_rng(0))
    assert set(batch.rewards.ravel().tolist()) == set(range(26, 35))
    np.testing.assert_array_equal(batch.next_observations, batch.observations + 1)


def test_termination_and_truncation_are_told_apart():
    replay = make(30, tasks=4)
    zeros = np.zeros((4, OBSERVATION), np.float32)
    terminated, truncated = np.array([True, False, True, False]), np.array([False, True, True, False])
    actions, rewards = np.zeros((4, ACTION), np.float32), np.zeros(4, np.float32)
    replay.insert(zeros, actions, rewards, terminated, truncated, zeros, np.ones(4, bool))
    batch = replay.sample_per_task(1, np.random.default_rng(0))
    assert batch.continues[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("capacity", [5, 23, 400])
@pytest.mark.parametrize("seed", range(3))
def test_segments_bring_everything_back(capacity, seed):
    """Segments of random lengths (empty ones, and some longer than the ring), then both go on alike."""
    original, segments, rng = make(capacity), [], np.random.default_rng(seed)
    heads = original.head.copy()
    for step in stream(TASKS, 160, seed):
        step.insert(original)
        while rng.random() < 0.06:
            segments.append(original.since(heads))
            heads = original.head.copy()
    segments.append(original.since(heads))
    restored = make(capacity)
    for segment in segments:
        restored.load({name: array.copy() for name, array in segment.items()})
    assert_same(original, restored)
    for step in stream(TASKS, 40, seed + 1000):
        step.end = step.end or not step.valid.all()
        step.insert(original)
        step.insert(restored)
    assert_same(original, restored)


def assert_same(a: Replay, b: Replay) -> None:
    np.testing.assert_array_equal(a.kinds, b.kinds)
    assert_same_draws(a, b)


def assert_same_draws(a: Replay, b: Replay) -> None:
    for name in ("counts", "head", "open"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    if a.counts.all():
        samples = [r.sample(2, 50, np.random.default_rng(5)) for r in (a, b)]
        np.testing.assert_array_equal(rows(samples[0]), rows(samples[1]))


def test_a_segment_is_a_copy_and_no_longer_than_the_ring():
    replay = make(8)
    for step in stream(TASKS, 50, 0):
        step.insert(replay)
    segment = replay.since(np.zeros(TASKS, np.int64))
    before = {name: array.copy() for name, array in segment.items()}
    assert all(len(segment[f"rows/{task}"]) <= 8 for task in range(TASKS))
    for step in stream(TASKS, 20, 1):
        step.insert(replay)
    for name, array in before.items():
        np.testing.assert_array_equal(segment[name], array, err_msg=name)


def filled(seed: int, capacity: int = 40) -> tuple[Replay, Model]:
    replay, model = make(capacity), Model(TASKS, capacity)
    for step in stream(TASKS, 120, seed):
        step.insert(replay)
        model.insert(step)
    return replay, model


@pytest.mark.parametrize("seed", [3, 4, 8])
def test_sampling_is_uniform_over_tasks_and_over_their_transitions(seed):
    replay, model = filled(seed)
    assert len(set(replay.counts.tolist())) > 1
    batch = replay.sample(20, 1000, np.random.default_rng(seed))
    by_task = np.bincount(batch.task_ids.ravel(), minlength=TASKS)
    assert stats.chisquare(by_task).pvalue > 1e-3
    for task in range(TASKS):
        held = sorted(line[OBSERVATION + ACTION] for line in model.held(task))
        drawn = batch.rewards[batch.task_ids == task]
        counts = np.bincount(np.searchsorted(held, drawn), minlength=len(held))
        assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("n", [2, 3, 50])
@pytest.mark.parametrize("seed", [3, 8])
def test_what_reaches_over_several_steps_is_their_sum_to_the_end_of_the_episode(seed, n):
    discounts = np.array([0.5, 0.9, 1.0], np.float32)
    replay = Replay(TASKS, OBSERVATION, ACTION, 40, n_step=n, discounts=discounts)
    model = Model(TASKS, 40)
    for step in stream(TASKS, 120, seed):
        step.insert(replay)
        model.insert(step)
    expected = {}
    for task, slots in enumerate(model.slots):
        for i, first in enumerate(slots):
            if first is not None:
                end = slots.index(None, i)
                ahead = np.array(slots[i : min(i + n, end)])
                gammas = float(discounts[task]) ** np.arange(len(ahead))
                reward, going = (ahead[:, OBSERVATION + ACTION] * gammas).sum(), ahead[-1, OBSERVATION + ACTION + 1]
                expected[first[: OBSERVATION + ACTION]] = (
                    reward,
                    gammas[-1] * going,
                    *ahead[-1, -1 - OBSERVATION : -1],
                )
    drawn = rows(replay.sample(4, 100, np.random.default_rng(seed)))
    for line in drawn.tolist():
        key, found = tuple(line[: OBSERVATION + ACTION]), line[OBSERVATION + ACTION : -1]
        np.testing.assert_allclose(found, expected[key], rtol=1e-5)


def test_tasks_are_drawn_by_their_shares():
    replay, _ = filled(3)
    batch = replay.sample(10, 1000, np.random.default_rng(0), np.array([0.2, 0.0, 0.8]))
    by_task = np.bincount(batch.task_ids.ravel(), minlength=TASKS)
    assert by_task[1] == 0
    assert stats.chisquare(by_task[[0, 2]], [2000, 8000]).pvalue > 1e-3


def test_batches_have_their_shapes_and_repeat_by_generator():
    replay, _ = filled(3)
    batch = replay.sample(4, 16, np.random.default_rng(7))
    shapes = [np.shape(x) for x in batch]
    assert shapes == [(4, 16, OBSERVATION), (4, 16, ACTION), (4, 16), (4, 16), (4, 16, OBSERVATION), (4, 16)]
    assert {x.dtype for x in batch[:-1]} == {np.dtype(np.float32)}
    assert batch.task_ids.dtype == np.int32
    np.testing.assert_array_equal(rows(batch), rows(replay.sample(4, 16, np.random.default_rng(7))))
    assert len({tuple(b) for b in batch.rewards.tolist()}) == 4
    per_task = replay.sample_per_task(9, np.random.default_rng(7))
    np.testing.assert_array_equal(per_task.task_ids, np.repeat(np.arange(TASKS)[:, None], 9, axis=1))


def test_a_batch_does_not_change_when_the_replay_goes_on():
    replay, _ = filled(3)
    batch = replay.sample(2, 50, np.random.default_rng(0))
    before = rows(batch)
    for step in stream(TASKS, 100, 9):
        step.insert(replay)
    np.testing.assert_array_equal(rows(batch), before)


def test_an_empty_task_cannot_be_sampled():
    replay = make(10)
    for sample in (lambda g: replay.sample(1, 4, g), lambda g: replay.sample_per_task(4, g)):
        with pytest.raises(ValueError, match="every task needs a transition"):
            sample(np.random.default_rng(0))


@pytest.mark.parametrize("capacity", [-1, 0, 1])
def test_a_capacity_without_room_is_refused(capacity):
    with pytest.raises(ValueError, match="at least 2"):
        make(capacity)


def test_bytes_grow_with_use_up_to_the_capacity():
    replay, sizes = make(20), []
    for step in stream(TASKS, 100, 3):
        step.insert(replay)
        sizes.append(replay.nbytes)
    assert (np.diff(sizes) >= 0).all()
    assert sizes[-1] == replay.rows.nbytes + replay.kinds.nbytes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("capacity", [7, 60])
def test_on_disk_and_sized_by_the_steps_it_holds_the_same(capacity, seed, tmp_path, monkeypatch):
    monkeypatch.setattr("polytask.replay.disk.CHUNK", 4)  # so that room is claimed often
    steps = list(stream(TASKS, 50, seed))
    plain = make(capacity)
    others = [
        Replay(TASKS, OBSERVATION, ACTION, capacity, folder=tmp_path / "disk"),
        Replay(TASKS, OBSERVATION, ACTION, capacity, steps=50),
        Replay(TASKS, OBSERVATION, ACTION, capacity, folder=tmp_path / "disk", steps=50),
    ]
    for step in steps:
        step.insert(plain)
        for other in others:
            step.insert(other)
    restored = Replay(TASKS, OBSERVATION, ACTION, capacity, folder=tmp_path / "disk")
    restored.load(plain.since(np.zeros(TASKS, np.int64)))
    for other in [*others, restored]:
        assert_same_draws(plain, other)
    assert list((tmp_path / "disk").iterdir()) == []


def test_room_on_the_disk_is_claimed_as_it_fills_and_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("polytask.replay.disk.CHUNK", 16)
    replay = Replay(1, OBSERVATION, ACTION, 64, folder=tmp_path)
    claimed = []
    allocate = replay._disk._allocate
    monkeypatch.setattr(replay._disk, "_allocate", lambda *span: (claimed.append(span), allocate(*span)))
    row = 4 * (OBSERVATION + ACTION + 1)
    for used, step in enumerate(stream(1, 200, 0), 1):
        step.insert(replay)
        touched = min(int(replay.head[0]) + 1, 64)
        assert sum(count for _, count in claimed) >= touched * row, used
    assert claimed == [(first * row, 16 * row) for first in (0, 16, 32, 48)]


def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    replay = Replay(1, OBSERVATION, ACTION, 64, folder=tmp_path)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match=rf"no room for the replay; make room.*{tmp_path}"):
        next(iter(stream(1, 1, 0))).insert(replay)


def test_mt50_with_a_million_transitions_of_each_task_takes_less_than_nine_gigabytes():
    """39 observations, 4 actions, the reward: 44 float32 and a byte for what the slot is."""
    assert slot_bytes(39, 4) == 177
    replay = Replay(5, 39, 4, 1000)
    assert replay.rows.nbytes + replay.kinds.nbytes == 5 * 1000 * 177
    episodes_of_200 = 1_000_000 + 1_000_000 // 200
    assert 50 * episodes_of_200 * slot_bytes(39, 4) < 9e9
