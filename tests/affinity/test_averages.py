"""Running averages against NumPy, with gaps."""

import jax
import jax.numpy as jnp
import numpy as np

from polytask.affinity import averages


def test_mean_and_variance_with_gaps():
    rng = np.random.default_rng(0)
    values = (1000 + rng.normal(size=(50, 2, 3))).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 0, 0] = np.nan  # never measured
    values[1:, 0, 1] = np.nan  # measured once, or not at all
    last, _ = jax.lax.scan(lambda a, x: (averages.observe(a, x), None), averages.init(2, 3), jnp.asarray(values))
    times = np.isfinite(values).sum(axis=0)
    assert np.array_equal(last.times, times)
    known = times > 1
    wide = values.astype(np.float64)
    np.testing.assert_allclose(np.asarray(last.mean)[known], np.nanmean(wide[:, known], axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(averages.variance(last))[known], np.nanvar(wide[:, known], axis=0, ddof=1), rtol=1e-3
    )
    assert np.isnan(np.asarray(averages.variance(last))[~known]).all()
