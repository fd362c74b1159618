"""The scale of returns against a plain computation from whole episodes."""

import numpy as np
import pytest

from polytask.replay import ReturnBounds


def bounds(discount: float = 0.9, horizon: int = 10, tasks: int = 1) -> ReturnBounds:
    return ReturnBounds(np.full(tasks, discount, np.float32), horizon)


def feed(b: ReturnBounds, rewards, terminated=(), truncated=(), task: int = 0, value=None) -> None:
    """One task's steps; `terminated` and `truncated` name the steps at which an episode ends."""
    for t, reward in enumerate(rewards):
        b.update(np.array([reward]), np.array([t in terminated]), np.array([t in truncated]), np.array([True]), value)


def returns_of(rewards: list[float], discount: float, tail: float) -> list[float]:
    """G_t by its sum, from every t."""
    n = len(rewards)
    return [sum(discount ** (k - t) * rewards[k] for k in range(t, n)) + discount ** (n - t) * tail for t in range(n)]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_whole_episodes(seed, scale):
    """Over random ends, restarts and closed episodes, for tasks with discounts of their own."""
    rng, tasks, horizon = np.random.default_rng(seed), 3, 12
    discounts = np.array([0.0, 0.9, 0.99], np.float32)
    b = ReturnBounds(discounts, horizon)
    running: list[list[float]] = [[] for _ in range(tasks)]
    seen: list[list[float]] = [[] for _ in range(tasks)]
    for _ in range(150):
        rewards = (scale * rng.normal(0.3, 1, tasks)).astype(np.float32)
        terminated, truncated, invalid = rng.random((3, tasks)) < [[0.1], [0.1], [0.05]]
        truncated |= np.array([len(r) == horizon - 1 for r in running])
        b.update(rewards, terminated, truncated, ~invalid)
        for i in range(tasks):
            if invalid[i]:
                running[i] = []
                continue
            running[i].append(float(rewards[i]))
            if terminated[i] or truncated[i]:
                discount = float(discounts[i])
                tail = 0.0 if terminated[i] else np.mean(running[i]) / (1 - discount)
                seen[i] += returns_of(running[i], discount, tail)
                running[i] = []
        if rng.random() < 0.03:
            b.end_episodes()
            running = [[] for _ in range(tasks)]
        for i in range(tasks):
            if seen[i]:
                np.testing.assert_allclose([b.low[i], b.high[i]], [min(seen[i]), max(seen[i])], rtol=1e-9)
                np.testing.assert_allclose(b.bound[i], np.abs(seen[i]).max(), rtol=1e-6)
            else:
                assert b.bound[i] == np.inf


def test_terminated_by_hand():
    b = bounds(discount=0.5)
    feed(b, [1.0, 2.0, 4.0], terminated=[2])
    # 4; 2 + 0.5 * 4 = 4; 1 + 0.5 * 4 = 3.
    assert (b.low[0], b.high[0]) == (3.0, 4.0)


def test_truncated_goes_on_with_its_mean():
    b = bounds(discount=0.5)
    feed(b, [1.0, 2.0, 3.0], truncated=[2])
    # Beyond the end 2 for ever, worth 4: 3 + 2 = 5; 2 + 2.5 = 4.5; 1 + 2.25 = 3.25.
    assert (b.low[0], b.high[0]) == (3.25, 5.0)


def test_both_at_once_counts_as_terminated():
    b = bounds(discount=0.5)
    feed(b, [2.0], terminated=[0], truncated=[0])
    assert b.bound[0] == 2.0


def test_a_constant_reward_truncated_is_worth_the_same_at_every_step():
    b = bounds(discount=0.9)
    feed(b, [3.0] * 10, truncated=[9])
    discount = float(np.float32(0.9))
    np.testing.assert_allclose([b.low[0], b.high[0]], 3 / (1 - discount), rtol=1e-9)


def test_a_given_value_replaces_the_mean_at_truncation_only():
    asked = []

    def value(task: int) -> float:
        asked.append(task)
        return 100.0

    b = bounds(discount=0.5)
    feed(b, [1.0, 1.0], terminated=[1], value=value)
    assert (asked, b.bound[0]) == ([], 1.5)
    feed(b, [1.0, 1.0], truncated=[1], value=value)
    assert (asked, b.high[0]) == ([0], 51.0)


def test_infinite_before_the_first_episode_has_ended():
    b = bounds()
    assert b.bound.tolist() == [np.inf]
    feed(b, [1.0] * 5)
    assert b.bound.tolist() == [np.inf]
    assert b.bound.dtype == np.float32


def test_an_invalid_step_drops_the_episode_and_its_own_reward():
    b, no, yes = bounds(discount=0.5), np.array([False]), np.array([True])
    feed(b, [100.0, 100.0])
    b.update(np.array([1e6]), yes, yes, no)
    assert b.bound[0] == np.inf
    feed(b, [1.0, 1.0], terminated=[1])
    assert b.bound[0] == 1.5


def test_closed_episodes_do_not_count():
    b = bounds(discount=0.5)
    feed(b, [100.0] * 3)
    b.end_episodes()
    feed(b, [1.0], terminated=[0])
    assert b.bound[0] == 1.0


def test_an_episode_may_fill_the_horizon_again_and_again():
    b = bounds(horizon=4)
    for _ in range(3):
        feed(b, [1.0] * 4, truncated=[3])
    assert np.isfinite(b.bound).all()


@pytest.mark.parametrize("rewards", [[0.0, 0.0], [-3.0, 0.0], [-1e12, 1e12]])
def test_the_bound_is_the_largest_absolute_return_and_never_shrinks(rewards):
    b = bounds(discount=0.5)
    feed(b, rewards, terminated=[1])
    assert b.bound[0] == np.float32(np.abs(returns_of(rewards, 0.5, 0.0)).max())
    before = b.bound.copy()
    feed(b, [0.0], terminated=[0])
    assert (b.bound >= before).all()


def test_tasks_do_not_touch_each_other():
    b, all_ = bounds(tasks=2), np.ones(2, bool)
    b.update(np.array([1.0, 50.0]), np.array([True, False]), ~all_, all_)
    assert b.bound.tolist() == [1.0, np.inf]


def test_state_and_load_go_on_alike():
    rng = np.random.default_rng(0)
    b = bounds(tasks=2)
    yes, no = np.ones(2, bool), np.zeros(2, bool)

    def play(target: ReturnBounds, r: np.ndarray) -> None:
        for t, reward in enumerate(r):
            target.update(reward, no, yes if t % 7 == 6 else no, yes)

    play(b, rng.normal(size=(17, 2)))  # stops in the middle of an episode
    saved = {name: array.copy() for name, array in b.state().items()}
    other = bounds(tasks=2)
    other.load(saved)
    rest = rng.normal(size=(30, 2))[4:]
    play(b, rest)
    play(other, rest)
    for name, array in b.state().items():
        np.testing.assert_array_equal(array, other.state()[name], err_msg=name)
    np.testing.assert_array_equal(b.bound, other.bound)
