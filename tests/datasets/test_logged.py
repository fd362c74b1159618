"""Logged transitions: what is checked, what a replay is filled with, and which facts are shown."""

import numpy as np
import pytest

from polytask.datasets.facts import facts_of
from polytask.datasets.filling import bounds_of, replay_of
from polytask.datasets.logged import joined, logged, unit_actions
from polytask.datasets.names import task_set
from polytask.datasets.record import logs_of
from polytask.replay import Replay, ReturnBounds
from polytask.tasks.spec import TaskSet
from tests.agents.cases import LARGE, SMALL


def arrays(lengths, spec=SMALL, seed=0, terminated=()):
    """Episodes of these lengths; those named terminate, the others are cut off."""
    rng, n = np.random.default_rng(seed), sum(lengths)
    last = np.cumsum(lengths) - 1
    ended = np.isin(np.arange(n), last[list(terminated)])
    full = [rng.normal(size=(length + 1, spec.observation_dim)).astype(np.float32) for length in lengths]
    return {
        "observations": np.concatenate([episode[:-1] for episode in full]),
        "actions": rng.uniform(-1, 1, (n, spec.action_dim)),
        "rewards": rng.normal(size=n),
        "terminated": ended,
        "truncated": np.isin(np.arange(n), last) & ~ended,
        "next_observations": np.concatenate([episode[1:] for episode in full]),
    }


def test_a_filled_replay_is_one_that_saw_every_step():
    """Row by row, for tasks of unequal sizes and lengths, with episodes of one step; and so are the returns' bounds."""
    logs = [logged(arrays([3, 1, 4], SMALL, 0, (1,)), SMALL, "a"), logged(arrays([2, 5], LARGE, 1), LARGE, "b")]
    tasks = task_set(logs)
    filled, bounds = replay_of(logs, tasks, n_step=2), bounds_of(logs, tasks)
    seen = Replay(2, 5, 4, filled.capacity, n_step=2, discounts=tasks.discounts)
    stepped = ReturnBounds(tasks.discounts, 20)
    for step in range(8):
        valid = np.array([step < len(log.rewards) for log in logs])
        at = [min(step, len(log.rewards) - 1) for log in logs]

        def column(name, width=0, at=at):
            values = [np.ravel(getattr(log, name)[i]) for log, i in zip(logs, at, strict=True)]
            return np.stack([np.pad(v, (0, max(width - len(v), 0))) for v in values]) if width else np.ravel(values)

        ends = column("terminated"), column("truncated")
        acted = np.stack([np.pad(unit_actions(log)[i], (0, 4 - log.actions.shape[1])) for log, i in zip(logs, at)])  # noqa: B905
        seen.insert(column("observations", 5), acted, column("rewards"), *ends, column("next_observations", 5), valid)
        stepped.update(column("rewards"), *ends, valid)
    assert filled.transitions == 15
    np.testing.assert_array_equal(filled.rows, seen.rows)
    np.testing.assert_array_equal(filled.kinds, seen.kinds)
    np.testing.assert_allclose(bounds.bound, stepped.bound)
    batch = filled.sample(2, 64, np.random.default_rng(0))
    assert np.isfinite(batch.rewards).all()


def test_without_next_observations_the_last_step_of_a_cut_episode_is_left_out():
    """As D4RL's reader does; one that terminated keeps it, as nothing follows."""
    full = arrays([3, 2, 2], terminated=(1,))
    del full["next_observations"]
    log = logged(full, SMALL, "set")
    np.testing.assert_array_equal(log.rewards, np.float32(full["rewards"])[[0, 1, 3, 4, 5]])
    assert [(s.start, s.stop) for s in log.episodes] == [(0, 2), (2, 4), (4, 5)]
    np.testing.assert_array_equal(log.next_observations[0], log.observations[1])


def test_shuffled_transitions_are_episodes_of_one_step():
    full = arrays([6])
    mixed = {name: value[[4, 0, 2, 5, 1, 3]] for name, value in full.items()}
    assert len(logged(mixed, SMALL, "set").episodes) == 6


def test_actions_are_scaled_by_the_task_s_bounds_and_those_without_one_lie_within_one():
    import dataclasses

    from polytask.tasks.spaces import Box

    full = arrays([4])
    spec = dataclasses.replace(SMALL, action=Box((0.0, -4.0), (2.0, 4.0)))
    log = logged({**full, "actions": np.array([[0, -4], [1, 0], [2, 4], [0.5, 2]])}, spec, "set")
    np.testing.assert_allclose(unit_actions(log), [[-1, -1], [0, 0], [1, 1], [-0.5, 0.5]], atol=1e-6)
    with pytest.raises(ValueError, match=r"25% of the actions lie outside of -1 to 1; name the task.*data:FILE@gym"):
        logged({**full, "actions": np.array([[0, 0], [0, 3], [0, 0], [0, 0.0]])}, None, "set")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rewards": None}, "set lacks rewards; it holds observations"),
        ({"rewards": np.zeros(3)}, "set has 3 rewards, but 4 observations"),
        ({"rewards": np.array([0, np.nan, 0, 0])}, "rewards of transition 1 is not finite"),
        ({"observations": np.full((4, 3), np.inf)}, "observations of transition 0 is not finite"),
        ({"observations": np.zeros((4, 2)), "next_observations": np.zeros((4, 2))}, "observations of 2 numbers, and"),
        ({"next_observations": np.zeros((4, 2))}, "next_observations have shape"),
        ({"actions": np.array([["a"]] * 4)}, "actions is no array of numbers"),
        ({name: np.zeros((0, 3)) for name in arrays([4])}, "set holds no transition"),
    ],
)
def test_what_cannot_be_learned_from_is_named(change, text):
    given = {**arrays([4]), **change}
    with pytest.raises(ValueError, match=text):
        logged({name: value for name, value in given.items() if value is not None}, SMALL, "set")


def test_facts_of_known_episodes():
    full = arrays([2, 2], terminated=(0,))
    full |= {"rewards": np.array([1.0, 2, 3, 4]), "success": np.array([0, 0, 0, 1])}
    full["actions"] = np.array([[-1, 0], [1, 0], [-1, 0], [1, 0]])
    facts = facts_of(logged(full, SMALL, "set"))
    assert facts[:8] == (2, 4, 1, 5.0, 3.0, 7.0, 2.0, 0.5)
    assert facts.action_coverage == pytest.approx((2 / 20 + 1 / 20) / 2)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_directions_count_what_moves_in_any_unit(scale):
    rng, full = np.random.default_rng(0), arrays([2000])
    two = rng.normal(size=(2001, 2))
    rows = np.float32(np.column_stack([two[:, 0] * scale, two[:, 1], np.full(2001, 7.0)]))
    full |= {"observations": rows[:-1], "next_observations": rows[1:]}
    assert facts_of(logged(full, SMALL, "set")).observation_directions == pytest.approx(2, abs=0.01)
    still = np.ones((2000, 3))
    full |= {"observations": still, "next_observations": still}
    assert facts_of(logged(full, SMALL, "set")).observation_directions == 0


def test_logs_of_one_task_are_joined_episode_by_episode():
    parts = [logged(arrays(lengths, seed=i), SMALL, "set") for i, lengths in enumerate(([3, 2], [4]))]
    both = joined(parts)
    assert [e.stop - e.start for e in both.episodes] == [3, 2, 4]
    assert both.success is None


def test_what_a_ring_still_holds_is_given_oldest_first_and_with_its_own_successors():
    """Also where it came round, and where the slot at the head is the oldest transition, without a successor behind."""
    tasks, steps, never = TaskSet((SMALL,)), 23, np.zeros(1, bool)
    for capacity in (7, 12, 100):
        replay = Replay(1, 3, 2, capacity)
        for step in range(steps):
            now, after = (np.full((1, 3), value, np.float32) for value in (step, step + 1))
            ended, acted = np.array([step % 5 == 4]), np.zeros((1, 2), np.float32)
            replay.insert(now, acted, np.float32([step]), never, ended, after, ~never)
        replay.end_episodes()
        (log,) = logs_of(replay, tasks)
        assert log.rewards[-1] == steps - 1
        np.testing.assert_array_equal(np.diff(log.rewards), 1)
        np.testing.assert_array_equal(log.next_observations[:, 0], log.rewards + 1)
        np.testing.assert_array_equal(log.truncated[:-1], log.rewards[:-1] % 5 == 4)
        assert replay.transitions - 1 <= len(log.rewards) <= replay.transitions
