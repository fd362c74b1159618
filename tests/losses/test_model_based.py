"""Losses for a model: what each is blind to, and OMD's gradient through the value function."""

import jax
import jax.numpy as jnp
import numpy as np

from polytask.losses import (
    conjugate_gradient,
    itervaml_loss,
    metric_loss,
    mle_loss,
    optimal_model_gradient,
    vagram_loss,
    value_gradient,
)

S, P = jax.random.normal(jax.random.key(0), (7, 3)), jax.random.normal(jax.random.key(1), (7, 3))


def value(state):
    """A value to which the last dimension is a distraction."""
    return jnp.sin(state[0]) + state[1] ** 2


def test_likelihood_of_unit_variance_is_half_the_squared_error():
    found = jax.vmap(mle_loss)(P, S)
    np.testing.assert_allclose(found, 0.5 * np.sum((P - S) ** 2, axis=1), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(mle_loss)(P, S, jnp.zeros_like(P)), found, rtol=1e-6)


def test_vagram_is_the_squared_error_under_the_value_gradients_metric():
    found = jnp.mean(jax.vmap(lambda p, s: vagram_loss(value, p, s))(P, S))
    weights = value_gradient(value)(jnp.zeros((7, 1)), S, jnp.zeros(7, jnp.int32))
    np.testing.assert_allclose(found, metric_loss(weights, P, S), rtol=1e-5)


def test_vagram_clips_the_gradients_length():
    full = jax.vmap(lambda p, s: vagram_loss(value, p, s))(P, S)
    norms = jnp.linalg.norm(jax.vmap(jax.grad(value))(S), axis=1)
    clipped = jax.vmap(lambda p, s: vagram_loss(value, p, s, 1.0))(P, S)
    np.testing.assert_allclose(clipped, full / jnp.maximum(norms, 1) ** 2, rtol=1e-5)


def test_value_aware_losses_are_blind_to_the_distraction_and_likelihood_is_not():
    moved = S.at[:, 2].add(3.0)
    for loss, blind in ((vagram_loss, True), (itervaml_loss, True), (lambda v, p, s: mle_loss(p, s), False)):
        gradient = jax.vmap(jax.grad(lambda p, s, loss=loss: loss(value, p, s)))(moved, S)
        assert bool((gradient[:, 2] == 0).all()) == blind


def test_itervaml_accepts_another_state_of_the_same_value():
    there = jnp.stack([jnp.pi - S[:, 0], -S[:, 1], S[:, 2]], axis=1)
    np.testing.assert_allclose(jax.vmap(lambda p, s: itervaml_loss(value, p, s))(there, S), 0, atol=1e-10)


def test_omd_moves_the_model_to_where_its_value_function_is_right():
    """One state, reward 1, discount 0.5: Q* = r_model / 0.5, so the model must learn the reward."""

    def closed(q, reward):
        return jnp.square(0.5 * q - reward)

    def truth(q):
        return jnp.square(0.5 * q - 1.0)

    reward = jnp.float32(0.3)
    found = optimal_model_gradient(closed, truth, reward / 0.5, reward, conjugate_gradient(5, 0.0))
    np.testing.assert_allclose(found.gradient, 2 * (0.3 - 1.0), rtol=1e-4)
    # With the inverse taken for the identity, OMD's default, the length is wrong and the sign right.
    assert jnp.sign(optimal_model_gradient(closed, truth, reward / 0.5, reward).gradient) == jnp.sign(found.gradient)
