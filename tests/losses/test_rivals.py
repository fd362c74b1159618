"""The rivals: each has the minimum, the bound or the fit that its paper says."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from polytask.losses import FixedMetric, Instances, LearnerError, dfl, fit, hard_top_k, lodl, spo_plus, two_stage
from polytask.losses.lodl import fit_surrogates, surrogate_value
from polytask.losses.rivals import spo_plus_loss

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (30, 1, 3))
TRUE = jnp.array([[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]])
DATA = Instances(X, X @ TRUE.T)


def linear() -> eqx.nn.Linear:
    return eqx.nn.Linear(3, 2, use_bias=False, key=KEY)


def squared(prediction, y, aux):
    """A task loss with its minimum at the truth."""
    return jnp.sum(jnp.square(prediction - y))


LEARNERS = {
    "two-stage": two_stage(linear(), optimiser=optax.adam(0.1)),
    "metric": two_stage(linear(), FixedMetric([0.5, 4.0]), optimiser=optax.adam(0.1)),
    "dfl": dfl(linear(), squared, optimiser=optax.adam(0.1)),
    "dfl+error": dfl(linear(), squared, error_weight=1.0, optimiser=optax.adam(0.1)),
    "lodl": lodl(linear(), squared, surrogate="weighted", samples=20, optimiser=optax.adam(0.1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_where_the_truth_can_be_fitted_every_rival_finds_it(name):
    fitted = fit(LEARNERS[name], DATA, KEY, 300)
    np.testing.assert_allclose(fitted.predictor.weight, TRUE, atol=0.05)
    assert fitted.history["loss"].shape == (300,)


def top(values, aux):
    """The oracle: choose the best of six."""
    return hard_top_k(values[0], 1)[None]


def test_spo_plus_bounds_the_regret_is_convex_and_zero_at_the_truth():
    y, guesses = jax.random.normal(KEY, (1, 6)), jax.random.normal(jax.random.key(1), (200, 1, 6))
    loss = jax.jit(jax.vmap(lambda p: spo_plus_loss(p, y, None, top)))
    regret = jnp.max(y) - jax.vmap(lambda p: jnp.sum(top(p, None) * y))(guesses)
    assert (loss(guesses) >= regret - 1e-5).all()
    assert loss(y[None])[0] == 0
    middle = (guesses[::2] + guesses[1::2]) / 2
    assert (loss(middle) <= (loss(guesses[::2]) + loss(guesses[1::2])) / 2 + 1e-5).all()


def test_spo_plus_has_the_published_subgradient():
    y, p = jax.random.normal(KEY, (1, 6)), jax.random.normal(jax.random.key(1), (1, 6))
    gradient = jax.grad(lambda q: spo_plus_loss(q, y, None, top))(p)
    np.testing.assert_allclose(gradient, 2 * (top(2 * p - y, None) - top(y, None)))


@pytest.mark.slow
def test_spo_plus_learns_from_hard_decisions():
    x = jax.random.normal(KEY, (60, 1, 3))
    data = Instances(x, x @ jax.random.normal(jax.random.key(4), (3, 6)))
    fitted = fit(spo_plus(eqx.nn.Linear(3, 6, key=KEY), top, optimiser=optax.adam(0.05)), data, KEY, 400)
    chosen = jax.vmap(jax.vmap(fitted.predictor))(x)
    agree = jnp.argmax(chosen, -1) == jnp.argmax(data.y, -1)
    assert agree.mean() > 0.9


@pytest.mark.parametrize("kind", ["weighted", "directed", "quadratic"])
def test_lodl_fits_the_decision_loss(kind):
    """A loss of each surrogate's own form is explained; the weights come out in the loss's proportions."""
    price = jnp.array([3.0, 0.5, 1.0])

    def loss(prediction, y, aux):
        error = (prediction - y)[0]
        if kind == "quadratic":
            return jnp.square(jnp.sum(error * price))
        return jnp.sum(price * jnp.square(error) * (jnp.where(error > 0, 2.0, 0.5) if kind == "directed" else 1.0))

    data = Instances(jnp.zeros((2, 1, 1)), jax.random.normal(KEY, (2, 1, 3)))
    fitted = jax.jit(lambda key: fit_surrogates(kind, loss, data, key, samples=300, steps=400))(KEY)
    assert (fitted.misfit < (0.15 if kind == "quadratic" else 0.02)).all()
    if kind == "directed":
        weights = jax.nn.softplus(fitted.parameters)
        np.testing.assert_allclose(weights[:, 0] / weights[:, 1], 4.0, rtol=0.3)


def test_surrogates_of_more_instances_than_fit_at_once_keep_their_order():
    y = jax.random.normal(KEY, (19, 2, 1))
    fit_all = jax.jit(lambda y: fit_surrogates("weighted", squared, Instances(y, y), KEY, samples=1, steps=1))
    fitted = fit_all(y)
    assert fitted.parameters.shape == (19, 2)
    np.testing.assert_allclose(fitted.scale, np.std(y, axis=(1, 2)), rtol=1e-5)


def test_surrogates_are_zero_without_error_and_positive_with_it():
    error = jax.random.normal(KEY, (3,))
    for kind, shape in (("weighted", (3,)), ("directed", (2, 3)), ("quadratic", (3, 2))):
        parameters = -5 * jnp.ones(shape)
        assert surrogate_value(kind, parameters, jnp.zeros(3)) == 0
        assert surrogate_value(kind, parameters, error) > 0


def test_a_rate_too_high_is_said_and_not_learned():
    with pytest.raises(LearnerError, match=r"not finite.*learning rate"):
        fit(two_stage(linear(), optimiser=optax.sgd(1e20)), DATA, KEY, 20)


def hard(prediction, y, aux):
    """Pays for the better output: no gradient."""
    return -jnp.sum(hard_top_k(prediction[0], 1) * y[0])


def test_dfl_says_that_a_decision_is_hard_even_where_the_error_has_a_gradient():
    with pytest.raises(LearnerError, match=r"decision layer is hard.*soft_top_k"):
        fit(dfl(linear(), hard, error_weight=1.0), DATA, KEY, 12)


def test_two_stage_refuses_a_metric_with_a_negative_eigenvalue():
    matrix = jnp.array([[1.0, 2.0], [2.0, 1.0]])  # eigenvalues 3 and -1
    metric = lambda x, y, task: jnp.broadcast_to(matrix[None], (len(x), 2, 2))  # noqa: E731
    with pytest.raises(LearnerError, match="not positive definite"):
        fit(two_stage(linear(), metric), DATA, KEY, 1)
