"""Losses for a model: what each is blind to, and OMD's gradient through the value function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.losses import (
    conjugate_gradient,
    direct,
    itervaml_loss,
    metric_loss,
    mle_loss,
    optimal_metric_gradient,
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


@pytest.mark.slow
def test_the_metrics_gradient_passes_through_the_model_and_its_value_function():
    """One parameter for three outputs, so that the metric decides which it serves; all optima in closed form."""
    targets, wanted = jnp.array([0.5, 1.0, 2.0]), 1.9

    def prediction(model, metric):
        return jnp.sum(jnp.exp(metric) * jnp.square(model[0] - targets)) + jnp.square(model[1] - 0.3)

    def under(q, model):
        return jnp.square(q - jnp.sin(model[0]) - model[1])

    def truth(q):
        return jnp.square(q - wanted)

    def optimum(metric):
        weights = jnp.exp(metric)
        return jnp.stack([jnp.sum(weights * targets) / jnp.sum(weights), jnp.float32(0.3)])

    def value_of(metric):
        return truth(jnp.sin(optimum(metric)[0]) + 0.3)

    metric = jnp.array([0.2, -0.4, 0.1])
    model = optimum(metric)
    q = jnp.sin(model[0]) + model[1]
    found = optimal_metric_gradient(prediction, under, truth, q, model, metric, direct(0.0), direct(0.0))
    np.testing.assert_allclose(found.gradient, jax.grad(value_of)(metric), rtol=1e-4)
    step = 1e-2
    slopes = [(value_of(metric + step * e) - value_of(metric - step * e)) / (2 * step) for e in jnp.eye(3)]
    np.testing.assert_allclose(found.gradient, jnp.stack(slopes), rtol=1e-3)
    np.testing.assert_allclose(found.outer, value_of(metric), rtol=1e-5)
    assert found.inner_residual < 1e-5
