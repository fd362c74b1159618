"""Metrics are positive definite whatever they learn; divergences vanish at the truth; the readings do as they say."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.losses import (
    FixedMetric,
    FixedTrace,
    InputMetric,
    LearnedDiagonal,
    LearnedFull,
    WeightedTasks,
    identity,
    per_task,
    value_gradient,
)
from polytask.losses.divergence import divergences, metric_loss, residuals
from polytask.losses.metric import positive_definite, semidefinite, traces

KEY = jax.random.key(0)
ROWS, FEATURES, OUTPUTS = 6, 4, 3
X, Y = jax.random.normal(KEY, (ROWS, FEATURES)), jax.random.normal(jax.random.key(1), (ROWS, OUTPUTS))
TASK = jnp.array([0, 1, 0, 1, 1, 0])

LEARNED = {
    "diagonal": LearnedDiagonal(OUTPUTS),
    "full": LearnedFull(OUTPUTS),
    "input": InputMetric(FEATURES, OUTPUTS, width=8, key=KEY),
    "linear": InputMetric(FEATURES, OUTPUTS, depth=0, key=KEY),
    "per task": per_task(lambda key: InputMetric(FEATURES, OUTPUTS, width=8, key=key), 2, KEY),
    "weighted": WeightedTasks(LearnedFull(OUTPUTS), [1.0, 5.0]),
    "fixed trace": FixedTrace(LearnedFull(OUTPUTS), 3.0),
}


SCALES = jnp.array([0.0, 1.0, 10.0])


@pytest.mark.parametrize("name", LEARNED)
def test_learned_metrics_are_positive_definite_for_all_parameters(name):
    trained, static = eqx.partition(LEARNED[name], eqx.is_inexact_array)

    @jax.jit
    @jax.vmap
    def values_at(scale):
        moved = jax.tree.map(lambda a: a + scale * jax.random.normal(jax.random.key(7), a.shape), trained)
        values = eqx.combine(moved, static)(X, Y, TASK)
        return values, positive_definite(values), jnp.max(traces(values))

    values, positive, largest = values_at(SCALES)
    assert values.shape[1:] in ((ROWS, OUTPUTS), (ROWS, OUTPUTS, OUTPUTS))
    assert positive[:2].all()
    # In float32 e^c is lost beside an L L^T of 1e4, so at the last scale positive to rounding is what can be asked.
    lowest = values[2].min() if values.ndim == 3 else np.linalg.eigvalsh(np.asarray(values[2])).min()
    assert lowest > -1e-6 * largest[2]


@pytest.mark.parametrize("name", ["diagonal", "full"])
def test_constant_metrics_start_as_the_squared_error(name):
    values = LEARNED[name](X, Y, TASK)
    np.testing.assert_allclose(
        metric_loss(values, X[:, :OUTPUTS], Y), jnp.mean(jnp.sum((X[:, :OUTPUTS] - Y) ** 2, -1)), rtol=1e-6
    )


def test_identity_init_starts_near_a_multiple_of_the_identity():
    values = InputMetric(FEATURES, OUTPUTS, identity_init=True, key=KEY)(X, Y, TASK)
    np.testing.assert_allclose(values, jnp.broadcast_to(2 * jnp.eye(OUTPUTS), values.shape), atol=0.1)


def test_one_output_needs_no_matrices():
    metric = InputMetric(FEATURES, 1, key=KEY)
    factor = jax.vmap(metric.network)(X)
    np.testing.assert_allclose(metric(X, Y[:, :1], TASK), factor**2 + 1, rtol=1e-6)


def test_per_task_gives_each_row_its_own_tasks_metric():
    metric = LEARNED["per task"]
    for task in range(2):
        own = jax.tree.map(lambda a, task=task: a[task] if eqx.is_array(a) else a, metric.stacked)
        mine = np.asarray(TASK) == task
        np.testing.assert_allclose(metric(X, Y, TASK)[mine], own(X, Y, TASK)[mine], rtol=1e-5)


def test_one_weighted_metric_on_a_shared_output_is_the_weighted_sum_of_metrics():
    weights, prediction = np.array([1.0, 5.0], np.float32), X[:, :OUTPUTS]
    total = metric_loss(WeightedTasks(identity(OUTPUTS), weights)(X, Y, TASK), prediction, Y)
    parts = [metric_loss(identity(OUTPUTS)(X, Y, TASK)[t == TASK], prediction[t == TASK], Y[t == TASK]) for t in (0, 1)]
    np.testing.assert_allclose(total, (weights[0] * parts[0] + weights[1] * parts[1]) / 2, rtol=1e-5)


@pytest.mark.parametrize("name", ["diagonal", "full", "input"])
def test_a_fixed_trace_does_not_drift(name):
    metric = FixedTrace(LEARNED[name], 2.0)
    bigger = jax.tree.map(lambda a: a * 3 + 1 if eqx.is_inexact_array(a) else a, metric)
    np.testing.assert_allclose(jnp.mean(traces(bigger(X, Y, TASK))), 2.0, rtol=1e-5)


def test_fixed_metrics_are_not_trained():
    metric = WeightedTasks(FixedMetric([1.0, 2.0, 0.5]), [1.0, 2.0])
    gradient = eqx.filter_grad(lambda m: jnp.sum(m(X, Y, TASK)))(metric)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_value_gradient_weighs_by_the_squared_gradient_at_the_truth():
    slope = jnp.array([2.0, 0.0, -1.0])
    values = value_gradient(lambda s: jnp.dot(slope, s))(X, Y, TASK)
    np.testing.assert_allclose(values, jnp.broadcast_to(slope**2, Y.shape))
    assert not positive_definite(values)
    assert semidefinite(values)


@pytest.mark.parametrize(
    "values", [[1.0, 0.0], [1.0, -1.0], [1.0, np.nan], [[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.3], [0.0, 1.0]]]
)
def test_a_metric_that_is_not_positive_definite_is_refused(values):
    with pytest.raises(ValueError, match="not positive definite"):
        FixedMetric(values)
    array = jnp.asarray(values)
    assert not positive_definite(jnp.stack([jnp.ones_like(array) if array.ndim == 1 else jnp.eye(2), array]))


def test_relevance_must_be_positive():
    with pytest.raises(ValueError, match="above zero for each task"):
        WeightedTasks(identity(2), [1.0, 0.0])


def truth(output: str) -> np.ndarray:
    """Targets of each kind, hard and soft."""
    if output == "binary":
        return np.array([[0, 1, 0.3], [1, 1, 0]], np.float32)
    if output == "categorical":
        return np.array([[0.2, 0.5, 0.3], [1, 0, 0]], np.float32)
    return np.array([[0.2, -5, 3], [1, 0, 1e6]], np.float32)


@pytest.mark.parametrize("output", ["real", "binary", "categorical"])
def test_divergences_are_zero_at_the_truth_and_positive_elsewhere(output):
    target = truth(output)
    guesses = jax.random.normal(KEY, (50, *target.shape)) * 3
    values = jax.vmap(lambda p: divergences(p, jnp.asarray(target), output))(guesses)
    assert (values >= -1e-6).all()
    softened = np.clip(target, 1e-6, 1 - 1e-6)
    perfect = {"real": target, "binary": np.log(softened / (1 - softened)), "categorical": np.log(softened)}[output]
    np.testing.assert_allclose(divergences(jnp.asarray(perfect), jnp.asarray(target), output), 0, atol=1e-5)


def test_under_the_identity_divergences_are_the_usual_losses():
    logits = jax.random.normal(KEY, (2, 3))
    hard_choice, hard_events = jnp.array([[0.0, 1, 0], [1, 0, 0]]), jnp.array([[0.0, 1, 1], [1, 0, 0]])
    ones = jnp.ones((2, 3))
    cross_entropy = -jnp.mean(jnp.sum(hard_choice * jax.nn.log_softmax(logits), -1))
    np.testing.assert_allclose(metric_loss(ones, logits, hard_choice, "categorical"), 2 * cross_entropy, rtol=1e-5)
    events = jax.nn.softplus(jnp.where(hard_events == 1, -logits, logits))
    np.testing.assert_allclose(
        metric_loss(ones, logits, hard_events, "binary"), 2 * jnp.mean(events.sum(-1)), rtol=1e-5
    )


@pytest.mark.parametrize("output", ["real", "binary", "categorical"])
def test_a_diagonal_is_a_matrix_without_the_rest(output):
    target, prediction = jnp.asarray(truth(output)[:1]), jnp.array([[0.5, -1.0, 2.0]])
    diagonal = jnp.array([[0.5, 2.0, 3.0]])
    whole = jax.vmap(jnp.diag)(diagonal)
    by_diagonal = metric_loss(diagonal, prediction, target, output)
    np.testing.assert_allclose(metric_loss(whole, prediction, target, output), by_diagonal, rtol=1e-4)


@pytest.mark.parametrize("output", ["binary", "categorical"])
def test_gradients_of_residuals_are_finite_even_where_a_divergence_underflows(output):
    target = jnp.array([[1.0, 0.0, 0.0]])
    certain = jnp.array([[200.0, -200.0, -200.0]])
    gradient = jax.grad(lambda p: jnp.sum(residuals(p, target, output)))(certain)
    assert jnp.isfinite(gradient).all()


def test_weights_may_be_zero_in_what_is_not_learned_but_not_negative():
    of_rank_one, indefinite = jnp.ones((1, 2, 2)), jnp.array([[[1.0, 2.0], [2.0, 1.0]]])
    assert semidefinite(of_rank_one)
    assert not positive_definite(of_rank_one)
    assert not semidefinite(indefinite)
    assert not semidefinite(jnp.array([[1.0, -0.1]]))
    assert not semidefinite(jnp.array([[1.0, jnp.nan]]))
