"""Any model, any float type, any form of losses: what people hand to a combiner."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import COMBINERS, combined_gradient, make_combiner, representation_gradient
from polytask.combine.optax_face import as_optax
from tests.dtypes import cast, forms

NAMES = ("sum", "mean", "pcgrad", "mgda", "cagrad", "nash_mtl", "fairgrad", "upgrad", "graddrop", "famo")


class Model(eqx.Module):
    """Someone's network: an MLP with its functions, a table of integers, and a Python number."""

    network: eqx.nn.MLP
    order: jax.Array
    scale: float


@cache
def model(dtype=jnp.float32):
    return Model(cast(eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0)), dtype), jnp.array([1, 0]), 2.0)


def losses(model):
    out = model.network(jnp.ones(3, model.network.layers[0].weight.dtype))[model.order]
    return jnp.square(out * out.dtype.type(model.scale)) + out.dtype.type(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_leaves_that_are_no_floats_gets_a_gradient_of_its_own_types(name):
    combiner = make_combiner(name)

    @eqx.filter_jit
    def run(params):
        state, key = combiner.init(params, 2), jax.random.key(1)
        return combined_gradient(combiner, losses, params, state, key=key).gradient

    for params in (model(), model(jnp.bfloat16)):
        gradient = run(params)
        assert forms(gradient) == forms(params)
        assert all(np.isfinite(np.float32(leaf)).all() for leaf in jax.tree.leaves(gradient))


def test_named_and_listed_losses_give_the_gradient_of_an_array_of_them():
    combiner = make_combiner("pcgrad")

    def named(model):
        return dict(zip(("one", "two"), losses(model), strict=True))

    def listed(model):
        return [*losses(model)]

    @eqx.filter_jit
    def run(params):
        state, key = combiner.init(params, 2), jax.random.key(1)
        return [combined_gradient(combiner, fn, params, state, key=key) for fn in (losses, named, listed)]

    plain, *others = run(model())
    for other, names in zip(others, (["one", "two"], ["0", "1"]), strict=True):
        for wanted, found in zip(jax.tree.leaves(plain.gradient), jax.tree.leaves(other.gradient), strict=True):
            np.testing.assert_array_equal(found, wanted)
        assert list(other.info["losses"]) == names


def test_losses_of_another_form_are_answered_in_one_sentence():
    params, combiner = model(), make_combiner("sum")
    for wrong in (lambda m: losses(m).sum(), lambda m: "two", lambda m: {}):
        with pytest.raises(ValueError, match="losses_fn returns"):
            eqx.filter_eval_shape(combined_gradient, combiner, wrong, params, (), key=jax.random.key(1))


def descend(params, gradient):
    return jax.tree.map(lambda x, y: x - 0.1 * y, params, gradient)


def squares(params):
    return jnp.stack([params["w"].sum() ** 2 + 1, jnp.square(params["w"] - 1).sum() + 1])


def float64_gradient(name, transform):
    """The gradient that a method gives of float64 parameters, by `transform` of the function that computes it."""
    with jax.enable_x64(True):
        params, combiner = {"w": jnp.arange(3.0)}, make_combiner(name)
        run = partial(combined_gradient, combiner, squares, key=jax.random.key(0), step=descend)
        return transform(lambda params, state: run(params, state).gradient["w"])(params, combiner.init(params, 2))


def test_float64_gives_float64():
    """A promotion or an unsafe scatter, which are errors here, shows when a method is traced."""
    for name in COMBINERS:
        named = name + {"constant": ":weights=1,2", "dwa": ":period=2", "lps": ":period=2"}.get(name, "")
        assert float64_gradient(named, lambda f: partial(jax.eval_shape, f)).dtype == jnp.float64, name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_float64_gives_finite_float64(name):
    gradient = float64_gradient(name, jax.jit)
    assert gradient.dtype == jnp.float64
    assert bool(jnp.isfinite(gradient).all())


def stacked(params):
    """Gradients of two tasks as optax's aggregators take them; what is trained has a leading task axis."""
    return jax.tree.map(lambda x: jnp.stack([x, -0.5 * x]) if eqx.is_inexact_array(x) else x, params)


@pytest.mark.parametrize("name", ["pcgrad", "db_mtl", "graddrop"])
def test_an_optax_aggregator_takes_such_models_too(name):
    aggregator = as_optax(make_combiner(name), 2, jax.random.key(0))
    run = lambda params: aggregator.update(stacked(params), aggregator.init(params), losses=jnp.ones(2))[0]  # noqa: E731
    for params in (model(), model(jnp.bfloat16)):
        assert forms(eqx.filter_eval_shape(run, params)) == forms(params)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_so_does_the_gradient_by_a_representation(dtype):
    x = jnp.ones(3, dtype)

    def represent(trunk):
        return {"z": trunk.network(x), "order": trunk.order}

    def head_losses(params):
        heads, z = params
        return jnp.square(z["z"][z["order"]] * heads.network.layers[0].weight.ravel()[:2]) + x[0], None

    def run(trunk, heads):
        combiner, key = make_combiner("mgda"), jax.random.key(0)
        state = combiner.init(trunk, 2)
        return representation_gradient(combiner, represent, head_losses, trunk, heads, state, key=key).gradient

    both = model(dtype), model(dtype)
    assert forms(eqx.filter_eval_shape(run, *both)) == forms(both)
