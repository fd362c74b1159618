"""Gradient reversal and centroids of classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.losses import (
    centroid_distances,
    domain_adversarial_loss,
    moved_centroids,
    reversal_strength,
    reversed_gradient,
)


def test_reversal_changes_only_the_gradient():
    x = jnp.array([1.0, -2.0])
    value, slope = jax.value_and_grad(lambda x: jnp.square(reversed_gradient(x, 0.3)).sum())(x)
    assert value == 5
    np.testing.assert_allclose(slope, -0.3 * 2 * x, rtol=1e-6)


def test_the_strength_grows_from_nothing_to_one():
    found = [float(reversal_strength(p)) for p in (0.0, 0.1, 0.5, 1.0)]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1, abs=1e-3)


def test_the_classifier_learns_and_the_features_forget_the_domain():
    """One step on both: the classifier gets better on the old features, the features worse for the old classifier."""
    features = jnp.array([[1.0, 0.5], [0.8, -0.5], [-1.0, 0.2], [-0.9, 0.1]])
    domains, weights = jnp.array([0, 0, 1, 1]), jnp.array([[0.3, -0.3], [0.0, 0.0]])

    def loss(features, weights):
        return domain_adversarial_loss(reversed_gradient(features, 1.0) @ weights, domains)[0]

    before, slopes = jax.value_and_grad(loss, (0, 1))(features, weights)
    assert loss(features, weights - 0.1 * slopes[1]) < before
    assert loss(features - 0.1 * slopes[0], weights) > before


def test_rows_of_no_domain_take_no_part():
    logits = jnp.array([[3.0, 0.0], [0.0, 3.0], [9.0, 9.0]])
    with_none = domain_adversarial_loss(logits, jnp.array([0, 1, -1]))
    assert with_none == domain_adversarial_loss(logits[:2], jnp.array([0, 1]))
    assert with_none[1] == 1
    assert domain_adversarial_loss(logits, jnp.array([-1, -1, -1])) == (0, 0)


def test_centroids_move_towards_the_batch_and_those_of_absent_classes_stay():
    centroids, known = jnp.zeros((2, 3, 2)).at[0, 0].set(1.0), jnp.zeros((2, 3), bool).at[0, 0].set(True)
    features = jnp.array([[2.0, 0.0], [4.0, 0.0], [5.0, 5.0], [7.0, 7.0]])
    moved, now = moved_centroids(
        centroids, known, features, jnp.array([0, 0, 1, 1]), jnp.array([0, 0, 2, -1]), keep=0.7
    )
    np.testing.assert_allclose(moved[0, 0], [0.7 + 0.3 * 3, 0.7], rtol=1e-6)
    np.testing.assert_allclose(moved[1, 2], [5, 5], rtol=1e-6)
    assert now.sum() == 2
    np.testing.assert_array_equal(moved[1, 0], 0)


def test_distances_are_over_shared_classes():
    centroids = jnp.array([[[0.0], [1.0]], [[3.0], [9.0]]])
    known = jnp.array([[True, True], [True, False]])
    np.testing.assert_allclose(centroid_distances(centroids, known), [[0, 9], [9, 0]])
    np.testing.assert_array_equal(centroid_distances(centroids, jnp.zeros((2, 2), bool)), 0)
