"""Tanh-Gaussian policies and soft losses: as properties, against SciPy, then by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from polytask.losses import masked_tanh_normal, soft_policy_loss, soft_td_target, squash_log_std, temperature_loss
from polytask.losses.policy import LOG_STD_MAX, LOG_STD_MIN

act = jax.jit(jax.vmap(masked_tanh_normal))
# The gradient of the action's sum and of the log-probability, by mean, log_std and noise.
gradients = jax.jit(
    jax.vmap(jax.grad(lambda m, s, n, mask: sum(jnp.sum(x) for x in masked_tanh_normal(m, s, n, mask)), (0, 1, 2)))
)


def gaussians(batch: int, dims: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean, noise = rng.normal(size=(2, batch, dims))
    log_std = rng.uniform(LOG_STD_MIN, LOG_STD_MAX, (batch, dims))
    return mean.astype(np.float32), log_std.astype(np.float32), noise.astype(np.float32)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 0.7), (0.3, 1e-3), (0.0, 2.0)])
def test_log_probability_integrates_to_one(mean, std):
    noise = np.linspace(-7, 7, 20_001, dtype=np.float32)[:, None]
    whole = np.ones_like(noise)
    _, log_prob = act(whole * np.float32(mean), whole * np.float32(np.log(std)), noise, whole)
    actions = np.tanh(mean + std * np.float64(noise[:, 0]))
    assert np.trapezoid(np.exp(np.float64(log_prob)), actions) == pytest.approx(1, abs=2e-3)


def test_log_probability_agrees_with_scipy():
    mean, log_std, noise = gaussians(200, 5)
    actions, log_probs = act(mean, log_std, noise, np.ones_like(mean))
    mean, std, noise = np.float64(mean), np.exp(np.float64(log_std)), np.float64(noise)
    x = mean + std * noise
    log_slope = 2 * (np.log(2) - np.abs(x) - np.log1p(np.exp(-2 * np.abs(x))))  # log(1 - tanh(x)^2), stably
    expected = (stats.norm.logpdf(x, mean, std) - log_slope).sum(axis=1)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(actions, np.tanh(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", [0.0, 1.0, -1e6, 1e12])
def test_masked_dimensions_take_no_part(padding):
    mean, log_std, noise = gaussians(50, 5)
    mask = np.float32(np.random.default_rng(1).integers(2, size=mean.shape))
    mask[0], mask[1] = 0, 1
    inputs, padded = (mean, log_std, noise), mask == 0
    for which in range(3):
        other = [x.copy() for x in inputs]
        other[which][padded] = np.clip(padding, -10, 2) if which == 1 else padding
        for ours, theirs in zip(act(*inputs, mask), act(*other, mask), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for ours, theirs in zip(gradients(*inputs, mask), gradients(*other, mask), strict=True):
            np.testing.assert_array_equal(np.asarray(ours)[~padded], np.asarray(theirs)[~padded])
            np.testing.assert_array_equal(np.asarray(theirs)[padded], 0.0)
    actions, log_probs = act(*inputs, mask)
    np.testing.assert_array_equal(np.asarray(actions)[padded], 0.0)
    assert log_probs[0] == 0


def test_a_padded_task_is_as_if_alone():
    mean, log_std, noise = gaussians(50, 5)
    mask = np.tile(np.float32([1, 1, 0, 0, 0]), (50, 1))
    actions, log_probs = act(mean, log_std, noise, mask)
    alone, alone_log_probs = act(mean[:, :2], log_std[:, :2], noise[:, :2], mask[:, :2])
    np.testing.assert_allclose(np.asarray(actions)[:, :2], alone, rtol=1e-6)
    np.testing.assert_allclose(log_probs, alone_log_probs, rtol=1e-5, atol=1e-5)


def test_extreme_policies_stay_finite():
    grid = np.meshgrid(
        [-1e12, -1e3, -20.0, -1e-12, 0.0, 1e-12, 20.0, 1e3, 1e12], [LOG_STD_MIN, -4.0, LOG_STD_MAX], [-6.0, 0.0, 6.0]
    )
    mean, log_std, noise = (np.float32(x).reshape(-1, 1) for x in grid)
    mask = np.ones_like(mean)
    actions, log_probs = act(mean, log_std, noise, mask)
    assert (np.abs(actions) <= 1).all()
    assert np.isfinite(log_probs).all()
    assert all(np.isfinite(g).all() for g in gradients(mean, log_std, noise, mask))


def test_log_std_is_bounded_and_monotone():
    raw = jnp.array([-1e12, -20, -1, -1e-12, 0, 1e-12, 1, 20, 1e12], jnp.float32)
    squashed = np.asarray(squash_log_std(raw))
    assert squashed[0] == LOG_STD_MIN
    assert squashed[-1] == LOG_STD_MAX
    assert (np.diff(squashed) >= 0).all()
    assert squashed[4] == (LOG_STD_MIN + LOG_STD_MAX) / 2
    assert np.isfinite(jax.vmap(jax.grad(squash_log_std))(raw)).all()


@pytest.mark.parametrize("entropy_gap", [-1e6, -1.0, -1e-6, 1e-6, 1.0, 1e6])
@pytest.mark.parametrize("log_temperature", [-20.0, 0.0, 3.0])
def test_temperature_rises_exactly_while_entropy_is_too_low(entropy_gap, log_temperature):
    gradient = jax.grad(temperature_loss)(jnp.float32(log_temperature), jnp.float32(entropy_gap), jnp.float32(0))
    assert np.sign(gradient) == np.sign(entropy_gap)
    np.testing.assert_allclose(gradient, np.exp(log_temperature) * entropy_gap, rtol=1e-5)


def test_temperature_rests_at_the_target():
    assert jax.grad(temperature_loss)(jnp.float32(1.0), jnp.float32(-2.5), jnp.float32(-2.5)) == 0


def test_losses_by_hand():
    f = jnp.float32
    assert soft_policy_loss(f(-2.0), f(3.0), f(0.5)) == -4.0
    assert soft_td_target(f(1.0), f(0.5), f(0.25), f(4.0)) == 3.125
    assert soft_td_target(f(1.0), f(0.0), f(1e12), f(-1e12)) == 1.0
    np.testing.assert_allclose(temperature_loss(jnp.log(f(0.1)), f(-3.0), f(-2.0)), -0.1, rtol=1e-6)
    # At mean 0, deviation 1, no noise: the Gaussian's peak; the slope of tanh at 0 is 1.
    action, log_prob = masked_tanh_normal(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1), jnp.ones(1))
    assert action == 0
    np.testing.assert_allclose(log_prob, -0.5 * np.log(2 * np.pi), rtol=1e-6)
