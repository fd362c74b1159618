"""Named randomness: decided by (seed, purpose, counter), and different where any of them differs."""

import itertools

import jax
import numpy as np
import pytest

from polytask import random

DRAWS = list(itertools.product([0, 1, 2**31 - 1], ["init", "act", "act ", "evaluate", ""], [0, 1, 2, 10**9]))


def key_data(*draw) -> tuple[int, ...]:
    return tuple(np.asarray(jax.random.key_data(random.key(*draw))).tolist())


def first_words(*draw) -> tuple[int, ...]:
    return tuple(random.generator(*draw).integers(2**63, size=2).tolist())


@pytest.mark.parametrize("draw_of", [key_data, first_words, random.integer])
def test_repeats_and_differs(draw_of):
    first = [draw_of(*draw) for draw in DRAWS]
    assert first == [draw_of(*draw) for draw in DRAWS]
    assert len(set(first)) == len(DRAWS)


@pytest.mark.parametrize("draw_of", [key_data, first_words, random.integer])
def test_the_counter_begins_at_zero(draw_of):
    assert draw_of(3, "act") == draw_of(3, "act", 0)


def test_integers_suit_a_simulator():
    values = [random.integer(0, "environment", i) for i in range(2000)]
    assert all(type(v) is int and 0 <= v < 2**31 for v in values)
    assert len(set(values)) == len(values)
    assert np.mean(values) == pytest.approx(2**30, rel=0.05)


def test_draws_of_one_purpose_do_not_move_another():
    generator = random.generator(0, "sample", 5)
    random.generator(0, "warmup", 5).random(1000)
    np.testing.assert_array_equal(generator.random(4), random.generator(0, "sample", 5).random(4))


def test_the_numbers_stay_what_they_are():
    """A run's randomness is a promise across versions: a checkpoint resumes to the same bits."""
    assert random.integer(0, "environment", 1) == 593133964
    assert key_data(0, "act", 1) == (2703021165, 2094783402)
    assert first_words(0, "sample", 1) == (3098539275099709461, 7856364927457965378)
