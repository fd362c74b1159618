"""Any predictor and any float type: what people hand to a loss that knows the task."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from polytask import losses
from polytask.losses import lodl
from polytask.losses.lodl import fit_surrogates
from polytask.losses.metric import positive_definite, semidefinite
from tests.dtypes import cast, forms


class Model(eqx.Module):
    """Someone's predictor: an MLP with its functions, a table of integers, and a Python number."""

    network: eqx.nn.MLP
    order: jax.Array
    scale: float

    def __call__(self, x):
        return self.network(x)[self.order] * self.scale


def squares(prediction, y, aux):
    return jnp.square(prediction - y).sum()


def learner(name, model, dtype):
    """Each way of learning, by name; of the metrics some have the model's type and others the default one."""
    few = {"inner_steps": 2, "first_inner_steps": 2}
    metrics = {
        "diagonal": lambda: cast(losses.LearnedDiagonal(2), dtype),
        "full": lambda: cast(losses.LearnedFull(2), dtype),
        "input": lambda: losses.InputMetric(3, 2, width=4, key=jax.random.key(1)),
        "trace": lambda: losses.FixedTrace(losses.LearnedDiagonal(2), 2.0),
    }
    if name in metrics:
        return losses.taskmet(model, metrics[name](), squares, **few)
    ways = {
        "two-stage": lambda: losses.two_stage(model),
        "dfl": lambda: losses.dfl(model, squares),
        "spo": lambda: losses.spo_plus(model, lambda values, aux: (values > 0).astype(values.dtype)),
        "lodl": lambda: lodl(model, squares, samples=5),
        "quadratic": lambda: lodl(model, squares, samples=5, surrogate="quadratic"),
    }
    return ways[name]()


def check_learner(name, dtype):
    """Its predictor learns in its type: shapes and types of the last state are those of the parameters."""

    def run():
        network = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
        model = Model(cast(network, dtype), jnp.array([1, 0]), 2.0)
        data = losses.Instances(jnp.ones((5, 4, 3), dtype), jnp.ones((5, 4, 2), dtype))
        state, _ = losses.run(learner(name, model, dtype), data, jax.random.key(0), 2)
        return state.parameters, model

    found, model = eqx.filter_eval_shape(run)
    assert forms(found) == forms(model), name


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
        "fixed metric": lambda x: losses.metric_loss(fixed(x[None], x[None], first), x[None], p[None]),
    }
    fixed, first = losses.WeightedTasks(losses.FixedMetric([1.0, 2.0, 3.0, 4.0]), [2.0]), jnp.zeros(1, jnp.int32)
    one = lambda function: jax.grad(lambda x: function(x).sum())(s)  # noqa: E731
    gradients = jax.jit(lambda: jax.tree.map(one, functions))()
    for name, gradient in gradients.items():
        assert gradient.dtype == dtype, name
        assert bool(jnp.isfinite(gradient).all()), name


NAMES = ("two-stage", "dfl", "spo", "lodl", "quadratic", "diagonal", "full", "input", "trace")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_leaves_that_are_no_floats_learns_in_its_type(name):
    """In half precision, where what has no stated type would be float32; in the others below."""
    check_learner(name, jnp.bfloat16)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_functions_differentiate_in_the_type_of_their_arguments(dtype):
    check_functions(dtype)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_solvers_take_any_type(dtype):
    """Also those of which JAX has none in half precision."""
    given, eye = jnp.asarray([0.25, -0.5], dtype), jnp.eye(2, dtype=dtype)
    for solver in (losses.conjugate_gradient(), losses.direct()):
        found = solver(lambda v: 2 * v, given)
        assert found.dtype == dtype
        assert jnp.allclose(found, given / 2, rtol=4 * float(jnp.finfo(dtype).eps))
    for check in (positive_definite, semidefinite):
        assert bool(check(eye[None]))
        assert not bool(check(-eye[None]))


def test_surrogates_are_fitted_in_half_precision_too():
    """To a regret that directed weights explain wholly."""
    y = jax.random.normal(jax.random.key(0), (2, 3, 1), jnp.float16)
    regret = lambda prediction, y, aux: jnp.square(jnp.maximum(prediction - y, 0)).sum()  # noqa: E731
    fit = partial(fit_surrogates, "directed", regret, samples=20)
    fitted = jax.jit(fit)(losses.Instances(y, y), key=jax.random.key(1))
    assert fitted.parameters.dtype == jnp.float16
    assert (fitted.misfit < 1e-2).all()


def parts(value):
    """Someone's parameters in a dictionary, with a function, integers and a Python number among them."""
    return {"w": jnp.asarray(value), "f": jnp.tanh, "order": jnp.array([1, 0]), "scale": 2.0}


def bound_by(theta, phi):
    """Least where theta is phi's turned values, doubled."""
    wanted = phi["scale"] * phi["f"](phi["w"][phi["order"]])
    return jnp.square(theta["w"][theta["order"]] - wanted).sum()


def test_hypergradients_pass_by_what_is_no_float():
    """And are those of the arrays alone."""
    theta, phi = parts([0.3, -0.2]), parts([0.1, 0.4])
    outer = lambda theta: (theta["w"] * jnp.arange(1.0, 3.0)).sum() * theta["scale"]  # noqa: E731

    @jax.jit
    def gradients():
        solver = losses.direct(ridge=0.0)
        found = losses.hypergradient(bound_by, outer, theta, phi, solver)
        model = losses.optimal_model_gradient(bound_by, outer, theta, phi, solver)
        metric = losses.optimal_metric_gradient(bound_by, bound_by, outer, theta, phi, parts([0.5, 0.6]))
        return found.gradient, model.gradient, metric.gradient

    found, model, metric = gradients()
    # theta*_i = 2 tanh(phi_i), since both are turned.
    slope = 2 * (1 - jnp.tanh(phi["w"]) ** 2) * 2 * jnp.arange(1.0, 3.0)
    assert jnp.allclose(found["w"], slope, rtol=1e-5)
    assert [found[name] for name in ("f", "order", "scale")] == [None] * 3
    assert eqx.tree_equal(model, found)
    assert metric["w"].shape == (2,)
    assert bool(jnp.isfinite(metric["w"]).all())


@pytest.mark.slow
def test_float64_gives_float64():
    """With 64 bits switched on in a scope: what makes a number of no stated type would make it float64 here."""
    with jax.enable_x64(True):
        for dtype in (jnp.float64, jnp.float32):
            check_functions(dtype)
            for name in NAMES:
                check_learner(name, dtype)
