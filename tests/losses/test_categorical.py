"""Projection, categorical targets, cross-entropy and mean: as properties, against the definition, then by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.losses import categorical_td_target, cross_entropy, expected_value, project_categorical

SUPPORTS = [(2, 1.0), (5, 1e-12), (51, 10.0), (101, 10.0), (101, 1e12)]
# An index of up to 100 bins in float32 leaves a few 1e-6 of a bin for the share of its upper neighbour.
SHARE = 2e-5

project = jax.jit(jax.vmap(project_categorical, (0, 0, None)), static_argnums=2)
target_of = jax.jit(jax.vmap(categorical_td_target, (0, 0, 0, 0, None)), static_argnums=4)
mean_of = jax.jit(jax.vmap(expected_value, (0, None)), static_argnums=1)


def support(bins: int, v_max: float) -> np.ndarray:
    return np.linspace(-v_max, v_max, bins).astype(np.float32)


def positions_and_probs(bins: int, v_max: float, reach: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of positions within `reach` times the support, and distributions: spread, peaked and with empty bins."""
    rng = np.random.default_rng(bins)
    positions = rng.uniform(-reach * v_max, reach * v_max, (24, bins))
    positions[0], positions[1], positions[2] = 0.0, reach * v_max, -reach * v_max
    probs = np.concatenate([rng.dirichlet(np.ones(bins), 8), rng.dirichlet(np.full(bins, 0.01), 8)])
    probs = np.concatenate([probs, np.eye(bins)[rng.integers(bins, size=8)]])
    return positions.astype(np.float32), probs.astype(np.float32)


def by_definition(positions: np.ndarray, probs: np.ndarray, v_max: float) -> np.ndarray:
    """Bellemare et al. 2017, eq. 7, in float64: every support point gathers by its hat function."""
    bins = positions.shape[-1]
    z, spacing = np.linspace(-v_max, v_max, bins), 2 * v_max / (bins - 1)
    distance = np.abs(np.clip(np.float64(positions), -v_max, v_max)[..., None, :] - z[:, None]) / spacing
    return (np.clip(1 - distance, 0, 1) * np.float64(probs)[..., None, :]).sum(axis=-1)


@pytest.mark.parametrize(("bins", "v_max"), SUPPORTS)
def test_projection_follows_the_definition_and_keeps_mass(bins, v_max):
    positions, probs = positions_and_probs(bins, v_max, reach=1.5)
    projected = np.asarray(project(positions, probs, v_max))
    np.testing.assert_allclose(projected, by_definition(positions, probs, v_max), atol=SHARE)
    np.testing.assert_allclose(projected.sum(axis=1), 1.0, rtol=1e-6)
    assert (projected >= 0).all()


@pytest.mark.parametrize(("bins", "v_max"), SUPPORTS)
def test_projection_keeps_the_mean_where_nothing_is_clipped(bins, v_max):
    positions, probs = positions_and_probs(bins, v_max)
    before = (np.float64(positions) * probs).sum(axis=1)
    np.testing.assert_allclose(mean_of(project(positions, probs, v_max), v_max), before, atol=2e-6 * v_max)


@pytest.mark.parametrize(("bins", "v_max"), SUPPORTS)
def test_projection_is_the_identity_on_the_support(bins, v_max):
    _, probs = positions_and_probs(bins, v_max)
    positions = np.tile(support(bins, v_max), (len(probs), 1))
    np.testing.assert_allclose(project(positions, probs, v_max), probs, atol=SHARE)


@pytest.mark.parametrize("bins", [3, 101])
def test_whole_positions_stay_whole(bins):
    """With a spacing of 1 the arithmetic is exact, and so must the result be, at the last bin too."""
    v_max = (bins - 1) / 2
    probs = np.random.default_rng(0).dirichlet(np.ones(bins), bins).astype(np.float32)
    positions = np.tile(support(bins, v_max), (bins, 1))
    np.testing.assert_array_equal(project(positions, probs, v_max), probs)
    np.testing.assert_array_equal(
        project(np.repeat(positions[0][:, None], bins, axis=1), np.eye(bins, dtype=np.float32), v_max), np.eye(bins)
    )


@pytest.mark.parametrize("beyond", [1.0, 1.0001, 1e6, np.inf])
@pytest.mark.parametrize(("bins", "v_max"), [(2, 1.0), (101, 10.0), (51, 1e-12)])
def test_mass_beyond_the_support_goes_to_its_ends(bins, v_max, beyond):
    probs = np.full((2, bins), 1 / bins, np.float32)
    positions = np.array([[-1.0], [1.0]]) * np.full((2, bins), beyond * v_max)
    projected = np.asarray(project(positions.astype(np.float32), probs, v_max))
    np.testing.assert_allclose(projected[[0, 1], [0, -1]], 1.0, rtol=1e-5)
    np.testing.assert_allclose(projected[0, 1:], 0.0, atol=SHARE)
    np.testing.assert_allclose(projected[1, :-1], 0.0, atol=SHARE)


def test_projection_is_linear_in_the_mass_and_blind_to_order():
    positions, probs = positions_and_probs(51, 10.0, reach=1.5)
    projected = np.asarray(project(positions, probs, 10.0))
    np.testing.assert_allclose(project(positions, 3 * probs, 10.0), 3 * projected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(project(positions, 0 * probs, 10.0), 0 * projected)
    order = np.random.default_rng(1).permutation(51)
    np.testing.assert_allclose(project(positions[:, order], probs[:, order], 10.0), projected, atol=1e-6)


def test_projection_mirrors():
    positions, probs = positions_and_probs(101, 10.0, reach=1.5)
    np.testing.assert_allclose(
        project(-positions, probs, 10.0), np.asarray(project(positions, probs, 10.0))[:, ::-1], atol=SHARE
    )


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_projection_is_free_of_units(scale):
    positions, probs = positions_and_probs(101, 10.0, reach=1.5)
    scaled = project((positions * scale).astype(np.float32), probs, 10.0 * scale)
    np.testing.assert_allclose(scaled, project(positions, probs, 10.0), atol=2 * SHARE)


def test_projection_alone_jitted_and_batched_agree():
    positions, probs = positions_and_probs(101, 10.0, reach=1.5)
    batched = project(positions, probs, 10.0)[5]
    for function in (project_categorical, jax.jit(project_categorical, static_argnums=2)):
        alone = function(jnp.asarray(positions[5]), jnp.asarray(probs[5]), 10.0)
        np.testing.assert_allclose(alone, batched, atol=SHARE)


def test_projection_by_hand():
    # On {-1, 0, 1}: 0.2 at 0 stays; 0.5 at 0.5 halves between 0 and 1; 0.3 at 1.7 counts as 1.
    positions, probs = np.float32([[0.0, 0.5, 1.7]]), np.float32([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(project(positions, probs, 1.0), [[0.0, 0.45, 0.55]], rtol=1e-6)


@pytest.mark.parametrize("bonus", [-1e3, 0.0, 1e3])
def test_a_terminated_transition_is_worth_its_reward(bonus):
    rng = np.random.default_rng(0)
    rewards = np.float32([*rng.uniform(-10, 10, 20), -10, 10, 0, 1e6, -1e6])
    _, probs = positions_and_probs(101, 10.0)
    probs, zeros = np.resize(probs, (25, 101)), np.zeros(25, np.float32)
    target = target_of(rewards, zeros, zeros + np.float32(bonus), probs, 10.0)
    np.testing.assert_allclose(mean_of(target, 10.0), np.clip(rewards, -10, 10), atol=2e-5)
    assert (np.count_nonzero(np.asarray(target) > SHARE, axis=1) <= 2).all()


def test_target_follows_the_definition():
    _, probs = positions_and_probs(101, 10.0)
    rng = np.random.default_rng(3)
    rewards, bonus = rng.normal(0, 3, 24).astype(np.float32), rng.normal(0, 1, 24).astype(np.float32)
    discounts = rng.choice(np.float32([0.0, 0.9, 0.99, 1.0]), 24)
    positions = np.float64(rewards)[:, None] + discounts[:, None] * (np.linspace(-10, 10, 101) + bonus[:, None])
    expected = by_definition(positions, probs, 10.0)
    np.testing.assert_allclose(target_of(rewards, discounts, bonus, probs, 10.0), expected, atol=SHARE)


def test_without_reward_discount_or_bonus_the_target_is_the_value():
    _, probs = positions_and_probs(101, 10.0)
    zeros = np.zeros(len(probs), np.float32)
    np.testing.assert_allclose(target_of(zeros, zeros + 1, zeros, probs, 10.0), probs, atol=SHARE)


def test_target_by_hand():
    # 0.5 + 0.5 (z + 1) for z in {-1, 0, 1}: 0.5, 1, 1.5.
    args = [np.float32([x]) for x in (0.5, 0.5, 1.0)]
    target = target_of(*args, np.float32([[0.2, 0.5, 0.3]]), 1.0)
    np.testing.assert_allclose(target, [[0.0, 0.1, 0.9]], rtol=1e-6)


entropy_of = jax.jit(jax.vmap(cross_entropy))


def test_cross_entropy_is_least_at_the_target():
    _, probs = positions_and_probs(51, 1.0)
    probs = probs[:8]
    least = entropy_of(probs, jnp.log(probs))
    np.testing.assert_allclose(least, -(np.float64(probs) * np.log(np.float64(probs))).sum(axis=1), rtol=1e-5)
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e3):
        moved = jnp.log(probs) + np.float32(scale) * rng.normal(size=probs.shape).astype(np.float32)
        assert (entropy_of(probs, moved) >= np.asarray(least) - 1e-6).all()


def test_cross_entropy_of_equal_logits_is_log_bins_whatever_their_level():
    _, probs = positions_and_probs(101, 1.0)
    for level in (0.0, 1e-12, -1e6, 1e12):
        value = entropy_of(probs, np.full_like(probs, level))
        np.testing.assert_allclose(value, np.log(101), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_cross_entropy_gradient_is_softmax_minus_target_and_finite(scale):
    _, probs = positions_and_probs(51, 1.0)
    logits = np.float32(scale) * np.random.default_rng(0).normal(size=probs.shape).astype(np.float32)
    gradient = jax.jit(jax.vmap(jax.grad(cross_entropy, argnums=1)))(probs, logits)
    np.testing.assert_allclose(gradient, jax.nn.softmax(logits) - probs, atol=1e-6)
    assert np.isfinite(entropy_of(probs, logits)).all()


def test_cross_entropy_by_hand():
    # Softmax of log {1, 3} is {1/4, 3/4}.
    value = cross_entropy(jnp.array([0.5, 0.5]), jnp.log(jnp.array([1.0, 3.0])))
    np.testing.assert_allclose(value, -0.5 * np.log(3 / 16), rtol=1e-6)


@pytest.mark.parametrize(("bins", "v_max"), SUPPORTS)
def test_expected_value_of_one_bin_is_its_support_point(bins, v_max):
    means = mean_of(np.eye(bins, dtype=np.float32), v_max)
    np.testing.assert_allclose(means, support(bins, v_max), rtol=1e-6, atol=1e-7 * v_max)


def test_expected_value_of_a_symmetric_distribution_is_zero():
    even = jax.jit(partial(expected_value, v_max=10.0))(jnp.full(101, 1 / 101))
    np.testing.assert_allclose(even, 0.0, atol=1e-5)
