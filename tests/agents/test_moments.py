"""Observations in deviations of their task: the moments of all rows seen, whatever the batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents.moments import LARGEST, SMALLEST, Moments, seen

ROWS, TASKS, DIM = 12, 3, 4
observe = jax.jit(seen)


def rows(seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ids = rng.integers(TASKS - 1, size=ROWS).astype(np.int32)  # the last task is never there
    values = scale * (rng.normal(size=(ROWS, DIM)) * [1, 5, 0.1, 0] + [0, 3, -2, 7])
    return values.astype(np.float32), ids


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_moments_are_those_of_all_rows_seen(scale):
    batches = [rows(seed, scale) for seed in range(5)]
    moments = Moments(TASKS, DIM)
    for values, ids in batches:
        moments = observe(moments, values, ids)
    values, ids = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    for task in range(TASKS - 1):
        own = values[ids == task].astype(np.float64)
        assert moments.rows[task] == len(own)
        np.testing.assert_allclose(moments.mean[task], own.mean(axis=0), rtol=1e-5, atol=1e-6 * scale)
        np.testing.assert_allclose(moments.variance[task], own.var(axis=0), rtol=1e-4, atol=1e-5 * scale**2)


def test_a_task_without_rows_keeps_its_moments():
    before = observe(Moments(TASKS, DIM), *rows(0))
    after = observe(before, *rows(1))
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(old[-1], new[-1])


def test_what_comes_out_has_mean_zero_and_deviation_one_for_each_task_and_is_bounded():
    moments = Moments(TASKS, DIM)
    values, ids = rows(0)
    moments = observe(moments, values, ids)
    out = np.asarray(moments(jnp.asarray(values), jnp.asarray(ids)))
    for task in range(TASKS - 1):
        np.testing.assert_allclose(out[ids == task].mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(out[ids == task].std(axis=0), [1, 1, 1, 0], atol=0.02)
    far = np.asarray(moments(jnp.asarray(1e9 * values), jnp.asarray(ids)))
    assert np.abs(far).max() <= LARGEST


def test_what_hardly_moves_is_not_blown_up():
    still = np.full((ROWS, DIM), 3.0, np.float32)
    ids = np.zeros(ROWS, np.int32)
    moments = observe(Moments(TASKS, DIM), still, ids)
    out = np.asarray(moments(jnp.asarray(still + 1e-3), jnp.asarray(ids)))
    np.testing.assert_allclose(out, 1e-3 / SMALLEST, rtol=1e-3)
