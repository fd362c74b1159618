"""TaskMet finds what the task cares about, whole seeds run as one program, and what goes wrong is said."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from polytask.losses import (
    FixedTrace,
    InputMetric,
    Instances,
    LearnedDiagonal,
    LearnerError,
    direct,
    fit,
    hard_top_k,
    learned_metric,
    raise_failures,
    run,
    taskmet,
    two_stage,
)

KEY = jax.random.key(0)


class Constant(eqx.Module):
    """One number for both outputs: it cannot be right about both."""

    value: jax.Array

    def __call__(self, x):
        return jnp.broadcast_to(self.value, (2,))


START = Constant(jnp.float32(0.2))
CONFLICT = Instances(jnp.zeros((8, 1, 1)), jnp.broadcast_to(jnp.array([1.0, -1.0]), (8, 1, 2)))


def only_first(prediction, y, aux):
    """A task to which the second output means nothing."""
    return jnp.sum(jnp.square(prediction[:, 0] - y[:, 0]))


def conflict(task_loss=only_first, metric=None, rate=0.05, **options):
    """TaskMet on the conflict, small and full-batch."""
    settings = {"inner_steps": 40, "first_inner_steps": 100, "batch": None, "solver": direct()} | options
    return taskmet(
        START,
        LearnedDiagonal(2) if metric is None else metric,
        task_loss,
        predictor_optimiser=optax.sgd(rate),
        metric_optimiser=optax.adam(0.1),
        **settings,
    )


def test_the_metric_weighs_the_output_that_the_task_needs():
    metric = FixedTrace(LearnedDiagonal(2), 2.0)
    fitted = fit(conflict(metric=metric), CONFLICT, KEY, 60)
    weights = learned_metric(fitted.state, metric)(*(jnp.zeros((1, 2)),) * 2, jnp.zeros(1, jnp.int32))[0]
    assert weights[0] > 1.9
    np.testing.assert_allclose(fitted.history["metric_trace"], 2.0, rtol=1e-5)
    # The minimiser under weights (w, 2 - w) is w - 1.
    np.testing.assert_allclose(fitted.predictor(jnp.zeros(1))[0], weights[0] - 1, atol=0.01)
    assert fitted.history["task_loss"][-1] < 0.02
    assert fitted.history["inner_residual"].max() < 0.01


@pytest.mark.slow
def test_seeds_as_one_program_are_the_seeds_one_by_one():
    data = Instances(jax.random.normal(KEY, (12, 3, 2)), jax.random.normal(jax.random.key(1), (12, 3, 2)))

    def go(key):
        metric = InputMetric(2, 2, width=4, key=key)
        learner = taskmet(eqx.nn.Linear(2, 2, key=key), metric, only_first, inner_steps=3, first_inner_steps=9, batch=4)
        return run(learner, data, key, 3)

    keys = jax.random.split(KEY, 3)
    many, history = jax.jit(jax.vmap(go))(keys)
    raise_failures(many.failure)
    one, own = jax.jit(go)(keys[1])
    np.testing.assert_allclose(many.parameters.weight[1], one.parameters.weight, atol=1e-5)
    np.testing.assert_array_equal(history["inner_steps"][1], own["inner_steps"])
    assert own["inner_steps"].tolist() == [9, 3, 3]


def test_the_inner_loop_stops_where_it_has_arrived():
    history = fit(conflict(), CONFLICT, KEY, 3).history
    assert (history["inner_steps"] < 100).all()
    assert (history["inner_residual"] < 1e-3).all()


class Broken(eqx.Module):
    """A metric whose second weight is not positive."""

    weight: jax.Array

    def __call__(self, x, y, task):
        return jnp.broadcast_to(jnp.stack([jnp.float32(1.0), self.weight])[None], y.shape)


def hard_decision(prediction, y, aux):
    """No gradient: a choice of the better output."""
    return -jnp.sum(hard_top_k(prediction[0], 1) * y[0])


def never_a_number(prediction, y, aux):
    """NaN as soon as it is used."""
    return jnp.sum(jnp.log(-jnp.abs(prediction)))


FAULTS = {
    "hard": (conflict(hard_decision, inner_steps=2, first_inner_steps=2), "decision layer is hard.*soft_top_k"),
    "nan": (conflict(never_a_number, inner_steps=2, first_inner_steps=2), "task loss or its gradient is not finite"),
    "diverges": (conflict(rate=50.0), "inner loop diverges.*learning rate"),
    "metric": (conflict(metric=Broken(jnp.float32(-0.5)), inner_steps=2), "not positive definite.*LearnedFull"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_goes_wrong_is_said_with_its_remedy_and_nothing_is_learned_from_it(name):
    learner, message = FAULTS[name]
    state, _ = jax.jit(lambda key: run(learner, CONFLICT, key, 12))(KEY)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.parameters, state.own.metric)))
    with pytest.raises(LearnerError, match=message):
        learner.predictor(state)


def test_the_seeds_that_failed_are_named():
    with pytest.raises(LearnerError, match=r"runs \[1, 2\] of 4"):
        raise_failures(jnp.array([0, 3, 3, 0]))


def test_data_that_do_not_fit_are_refused():
    learner = two_stage(START)
    for bad, message in [
        (CONFLICT._replace(x=jnp.zeros((8, 1))), r"x has shape \(8, 1\)"),
        (CONFLICT._replace(x=jnp.zeros((7, 1, 1))), "with the instances and rows of y"),
        (CONFLICT._replace(y=CONFLICT.y.at[3].set(jnp.nan)), "y holds NaN"),
        (CONFLICT._replace(aux=jnp.zeros(3)), "first axis must be 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit(learner, bad, KEY, 1)
    with pytest.raises(ValueError, match="must be at least 1"):
        conflict(inner_steps=0)
