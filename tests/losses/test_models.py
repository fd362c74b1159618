"""Any predictor and any float type: what people hand to a loss that knows the task."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from polytask import losses
from polytask.losses import lodl
from tests.dtypes import cast


class Model(eqx.Module):
    """Someone's predictor: an MLP with its functions, a table of integers, and a Python number."""

    network: eqx.nn.MLP
    order: jax.Array
    scale: float

    def __call__(self, x):
        return self.network(x)[self.order] * self.scale


def squares(prediction, y, aux):
    return jnp.square(prediction - y).sum()


def learners(model, dtype):
    """Each way of learning, by name."""
    few = {"inner_steps": 2, "first_inner_steps": 2}
    metrics = {
        "diagonal": losses.LearnedDiagonal(2),
        "full": losses.LearnedFull(2),
        "input": losses.InputMetric(3, 2, width=4, key=jax.random.key(1)),
        "trace": losses.FixedTrace(losses.LearnedDiagonal(2), 2.0),
    }
    return {
        "two-stage": lambda: losses.two_stage(model),
        "dfl": lambda: losses.dfl(model, squares),
        "lodl": lambda: lodl(model, squares, samples=5),
        "quadratic": lambda: lodl(model, squares, samples=5, surrogate="quadratic"),
    } | {name: lambda m=m: losses.taskmet(model, cast(m, dtype), squares, **few) for name, m in metrics.items()}


def check_learner(name, dtype):
    """Its predictor learns in its type: shapes and types of the last state are those of the parameters."""
    network = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    model = Model(cast(network, dtype), jnp.array([1, 0]), 2.0)
    data = losses.Instances(jnp.ones((5, 4, 3), dtype), jnp.ones((5, 4, 2), dtype))
    run = lambda: losses.run(learners(model, dtype)[name](), data, jax.random.key(0), 2)[0].parameters  # noqa: E731
    found = jax.tree.leaves(eqx.filter_eval_shape(run))
    trained = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    assert [(x.shape, x.dtype) for x in found] == [(x.shape, x.dtype) for x in trained], name


def check_functions(dtype):
    """Decisions, targets and policy terms have gradients of the type of what they are differentiated by."""
    s, half = jnp.asarray([0.1, 0.5, -0.3, 0.2], dtype), jnp.asarray(0.5, dtype)
    p = jax.nn.softmax(s)
    functions = {
        "soft_top_k": lambda x: losses.soft_top_k(x, 2) * s,
        "soft_knapsack": lambda x: losses.soft_knapsack(x, jnp.ones_like(s), 2.0) * s,
        "soft_budget": lambda x: losses.soft_budget(lambda z: (x * z).sum(), 4, 2, steps=2) * s,
        "project_simplex": lambda x: losses.project_simplex(x) * s,
        "categorical": lambda x: losses.cross_entropy(losses.categorical_td_target(half, half, half, p, 10.0), x),
        "expected_value": lambda x: losses.expected_value(jax.nn.softmax(x), 10.0),
        "policy": lambda x: losses.masked_tanh_normal(x, losses.squash_log_std(x), s, jnp.ones_like(s))[1],
        "vagram": lambda x: losses.vagram_loss(lambda v: (v * v).sum(), x, s, 0.1),
        "metric": lambda x: losses.metric_loss(jnp.eye(4, dtype=dtype)[None], x[None], p[None], "categorical"),
    }
    for name, function in functions.items():
        gradient = jax.jit(jax.grad(lambda x, function=function: function(x).sum()))(s)
        assert gradient.dtype == dtype, name
        assert bool(jnp.isfinite(gradient).all()), name


NAMES = ("two-stage", "dfl", "lodl", "quadratic", "diagonal", "full", "input", "trace")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_model_with_leaves_that_are_no_floats_learns_in_its_type(name, dtype):
    check_learner(name, dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_functions_differentiate_in_the_type_of_their_arguments(dtype):
    check_functions(dtype)


@pytest.mark.slow
def test_float64_gives_float64():
    """With 64 bits switched on in a scope: what makes a number of no stated type would make it float64 here."""
    with jax.enable_x64(True):
        for dtype in (jnp.float64, jnp.float32):
            check_functions(dtype)
            for name in NAMES:
                check_learner(name, dtype)
