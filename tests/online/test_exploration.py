"""For how long noise is held."""

import numpy as np

from polytask.online.exploration import LONGEST, draw_of


def test_every_step_draws_its_own_noise_unless_it_is_held():
    assert [draw_of("independent", 0, step) for step in range(5)] == list(range(5))


def test_spans_have_every_length_alike_and_never_cross_a_window():
    steps = np.arange(2000 * LONGEST)
    draws = np.array([draw_of("held", 3, int(step)) for step in steps])
    assert (draws <= steps).all()
    np.testing.assert_array_equal(draws // LONGEST, steps // LONGEST)
    per_window = [len(set(window)) for window in draws.reshape(-1, LONGEST).tolist()]
    counts = np.bincount(per_window, minlength=LONGEST + 1)[[1, 2, 4, 8, 16]]
    assert counts.sum() == 2000
    assert abs(counts - 400).max() < 4 * np.sqrt(400)


def test_seeds_hold_differently_and_each_repeats():
    def spans(seed: int) -> list[int]:
        return [draw_of("held", seed, step) for step in range(200)]

    assert spans(1) == spans(1) != spans(2)
