"""Gramians, norms and weighted sums of gradients longer than a block, of any scale, with NaN where nobody looks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import combine_gradients, make_combiner
from polytask.combine.gramian import BLOCK, gramian, norms, weighted_sum

RNG = np.random.default_rng(4)
LONG, SHORT = RNG.normal(size=(4, 3, BLOCK)).astype(np.float32)[:, :, :-100], RNG.normal(size=(4, 7)).astype(np.float32)
USED = np.array([True, True, False, True])


@jax.jit
def everything(long, short, other):
    tree, present = {"long": long, "short": short}, jnp.asarray(USED)
    seen = gramian(tree, present, {"long": other, "short": short})
    return seen, norms(tree), weighted_sum(jnp.array([1.0, 2, 3, -1]), tree, present)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_long_gradients_of_any_scale(scale):
    long, short = LONG.copy() * np.float32(scale), SHORT * np.float32(scale)
    long[2, 1, 17] = np.nan
    seen, lengths, total = everything(long, short, long[:, ::-1])
    rows = np.concatenate([long.reshape(4, -1), short], axis=1).astype(np.float64)
    rows[2] = 0
    exact = rows @ rows.T
    np.testing.assert_allclose(seen.matrix, exact / exact.max(), atol=1e-5)
    np.testing.assert_allclose(seen.scale, np.sqrt(np.diag(exact).max()), rtol=1e-5)
    assert seen.finite.tolist() == USED.tolist()
    np.testing.assert_allclose(np.asarray(lengths)[USED], np.linalg.norm(rows[USED], axis=1), rtol=1e-5)
    flat = np.concatenate([np.ravel(total["long"]), total["short"]])
    np.testing.assert_allclose(flat, np.array([1.0, 2, 0, -1]) @ rows, rtol=1e-5, atol=1e-5 * scale)
    turned = np.concatenate([long[:, ::-1].reshape(4, -1), short], axis=1).astype(np.float64)
    turned[2] = 0
    np.testing.assert_allclose(seen.cross, rows @ turned.T / exact.max(), atol=1e-5)


def test_zero_gradients():
    seen, lengths, _ = everything(0 * LONG, 0 * SHORT, 0 * LONG)
    assert not np.asarray(seen.matrix).any()
    assert not np.asarray(lengths).any()
    assert seen.scale == 1


@pytest.mark.parametrize("name", ["pcgrad", "rlw", "graddrop"])
def test_a_nan_in_a_long_gradient_is_seen_by_every_kind_of_method(name):
    long = LONG.copy()
    long[2, 1, 17] = np.nan
    combiner = make_combiner(name)
    state = combiner.init({"long": long[0], "short": SHORT[0]}, 4)
    combined = jax.jit(combine_gradients, static_argnums=0)(
        combiner, {"long": long, "short": SHORT}, jnp.ones(4), state, key=jax.random.key(0)
    )
    assert combined.info["nonfinite"].tolist() == [False, False, True, False]
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(combined.gradient))
