"""Any model and any float type: what people hand to a measurement."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from polytask.affinity import effects, joint_gradients, measure, separate_gradients, set_gradients
from tests.affinity.models import TASKS, Net
from tests.dtypes import cast, forms

OPTIMISER = optax.adam(0.1)


def module():
    """Its parameters, and which of them tasks share."""
    net = Net(jax.random.key(0))
    return net, eqx.tree_at(lambda n: n.head, jax.tree.map(lambda _: True, net), replace=False)


def dictionary():
    """With a function, integers and Python numbers among the arrays."""
    params = {"body": jnp.ones((2, 5)), "head": jnp.ones(TASKS), "f": jnp.tanh, "of": jnp.array([0, 1, 0, 1]), "n": 2.0}
    return params, {name: name != "head" for name in params}


def losses(params):
    if isinstance(params, Net):
        return jnp.square(params(jnp.ones(5, params.head.bias.dtype)))
    hidden = params["f"](params["body"] @ jnp.ones(5, params["body"].dtype))
    return jnp.square(hidden[params["of"]] * params["head"] * params["n"])


@pytest.mark.parametrize("make", [module, dictionary])
@pytest.mark.parametrize(("dtype", "x64"), [(jnp.float64, True), (jnp.float32, True), (jnp.bfloat16, False)])
def test_a_model_with_leaves_that_are_no_floats_is_measured_in_its_type(make, dtype, x64):
    """Gradients have the parameters' types; matrices go into averages of the default type, which stay so."""
    with jax.enable_x64(x64):
        params, shared = make()
        params = cast(params, dtype)
        trained = eqx.filter(params, eqx.is_inexact_array)
        state, running = OPTIMISER.init(trained), measure.init(TASKS)

        def run():
            values, gradients = joint_gradients(losses, params, shared)
            weights = jnp.eye(TASKS, dtype=dtype)
            separate = separate_gradients(lambda p, w: (losses(p) * w).sum(), params, weights, shared)
            sets = set_gradients(gradients, jnp.eye(TASKS, dtype=bool), mean=True)
            found = [
                effects(losses, params, gradients, o, s, shared=shared, step_heads=heads, gradients=gradients)
                for o, s, heads in ((0.1, None, False), (OPTIMISER, state, True))
            ]
            whole = measure.measure(losses, params, gradients, OPTIMISER, state, shared=shared)
            some = measure.measure_some(losses, params, jnp.array([1]), OPTIMISER, state, shared=shared)
            averages = measure.observe(measure.observe(running, whole), some)
            return values, gradients, separate, sets, found, averages

        values, gradients, separate, sets, found, averages = eqx.filter_eval_shape(run)
        rows = [((TASKS, *leaf.shape), leaf.dtype) for leaf in jax.tree.leaves(eqx.filter(trained, shared))]
        assert forms(gradients) == forms(separate[1]) == forms(sets) == rows
        assert {leaf.dtype for leaf in jax.tree.leaves((values, separate[0], found))} == {jnp.dtype(dtype)}
        assert forms(averages) == forms(running)


@pytest.mark.parametrize("make", [module, dictionary])
def test_what_is_no_float_stays_as_it_is_while_looking_ahead(make):
    """The losses after a step on one task are those of the model with its arrays moved, and all else as it was."""
    params, shared = make()

    @jax.jit
    def run():
        gradients = joint_gradients(losses, params, shared)[1]
        moved = eqx.apply_updates(params, jax.tree.map(lambda g: -0.1 * g[1], gradients))
        return effects(losses, params, gradients, 0.1, shared=shared).after[1], losses(moved)

    found, expected = run()
    assert jnp.allclose(found, expected, rtol=1e-5)
