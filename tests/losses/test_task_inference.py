"""Products of Gaussians, their divergence and MBML's triplet loss, also where sets are empty, huge or certain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.losses import agreed, gaussian_divergence, gaussian_product, triplet_loss
from polytask.networks import SetEncoder

RNG = np.random.default_rng(0)
MEANS, LOG_VARIANCES = (jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32) for _ in range(2))
ALL = jnp.ones(5, bool)


def test_a_product_has_the_sum_of_precisions_and_the_mean_weighted_by_them():
    mean, log_variance = gaussian_product(MEANS, LOG_VARIANCES, ALL)
    precisions = np.exp(-np.asarray(LOG_VARIANCES, np.float64))
    np.testing.assert_allclose(np.exp(-log_variance), precisions.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(mean, (precisions * MEANS).sum(axis=0) / precisions.sum(axis=0), rtol=1e-4, atol=1e-5)


def test_a_product_forgets_order_and_what_is_not_real():
    order, real = np.array([3, 0, 4, 1, 2]), jnp.array([True, False, True, True, False])
    whole = gaussian_product(MEANS, LOG_VARIANCES, real)
    for ours, theirs in zip(whole, gaussian_product(MEANS[order], LOG_VARIANCES[order], real[order]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    few = gaussian_product(MEANS[real], LOG_VARIANCES[real], jnp.ones(3, bool))
    for ours, theirs in zip(whole, few, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_an_empty_set_is_the_prior_and_has_finite_gradients():
    def loss(means, log_variances):
        mean, log_variance = gaussian_product(means, log_variances, jnp.zeros(5, bool))
        return gaussian_divergence(mean, log_variance, jnp.zeros(3), jnp.zeros(3))

    value, slopes = jax.value_and_grad(loss, (0, 1))(MEANS, LOG_VARIANCES)
    assert float(value) == 0
    assert all(np.isfinite(slope).all() and not slope.any() for slope in slopes)


@pytest.mark.parametrize("log_variance", [-1e4, -300.0, 0.0, 300.0])
def test_a_thousand_certain_factors_neither_underflow_nor_overflow(log_variance):
    """A product of determinants would: 1000 variances of 1e-7 multiply to zero in any float."""
    mean, log = gaussian_product(jnp.ones((1000, 20)), jnp.full((1000, 20), log_variance), jnp.ones(1000, bool))
    assert np.isfinite(mean).all()
    np.testing.assert_allclose(log, max(log_variance, np.log(1e-7)) - np.log(1000), rtol=1e-4)


def test_the_divergence_is_zero_of_itself_positive_of_others_and_that_of_the_book():
    p, q = (MEANS[0], LOG_VARIANCES[0]), (MEANS[1], LOG_VARIANCES[1])
    assert float(gaussian_divergence(*p, *p)) == 0
    value = float(gaussian_divergence(*p, *q))
    v, w = np.exp(p[1]), np.exp(q[1])
    book = 0.5 * (np.log(w.prod() / v.prod()) - 3 + (v / w).sum() + (np.square(p[0] - q[0]) / w).sum())
    assert value == pytest.approx(book, rel=1e-4)
    assert value > 0 < float(gaussian_divergence(*q, *p)) != value


def test_the_triplet_is_satisfied_beyond_the_margin_and_counts_only_pairs_that_are_held():
    positive, negative = jnp.zeros((3, 3)), jnp.full((3, 3), 5.0)
    held = jnp.ones((3, 3), bool)
    assert float(triplet_loss(positive, negative, held, 2.0)) == 0
    assert float(triplet_loss(negative, positive, held, 2.0)) == 7
    assert float(triplet_loss(positive, positive, held, 2.0)) == 2
    one = jnp.zeros((3, 3), bool).at[0, 1].set(True)
    mixed = negative.at[0, 1].set(1.0)
    assert float(triplet_loss(mixed, positive, one, 2.0)) == 3
    for none in (jnp.zeros((3, 3), bool), jnp.eye(3, dtype=bool)):
        assert float(triplet_loss(negative, positive, none, 2.0)) == 0


def test_pairs_that_are_not_held_have_no_gradient_even_where_their_values_are_not_finite():
    held = jnp.zeros((2, 2), bool).at[0, 1].set(True)
    broken = jnp.array([[0.0, 1.0], [jnp.inf, jnp.nan]])
    slope = jax.grad(lambda p: triplet_loss(p, jnp.zeros((2, 2)), held, 2.0))(broken)
    np.testing.assert_array_equal(slope, [[0, 1], [0, 0]])


def test_an_ensemble_of_one_mind_is_agreed_whatever_it_says():
    predictions = jnp.array([[1.0, 0.0, 5.0], [1.0, 1.0, 5.02]])
    mean, same = agreed(predictions, 0.1)
    np.testing.assert_allclose(mean, [1.0, 0.5, 5.01], rtol=1e-6)
    np.testing.assert_array_equal(same, [True, False, True])


def test_a_set_encoder_takes_any_order_and_more_transitions_make_it_surer():
    encoder = SetEncoder(4, 3, 8, 1, key=jax.random.key(0))
    rows = jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)
    one, other = encoder(rows, jnp.ones(6, bool)), encoder(rows[::-1], jnp.ones(6, bool))
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    few = encoder(rows, jnp.arange(6) < 3)
    assert (np.asarray(few[1]) > np.asarray(one[1])).all()
