"""Any model, any float type, any form of losses: what people hand to a combiner."""

import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from polytask.combine import combined_gradient, make_combiner

NAMES = ("sum", "mean", "pcgrad", "mgda", "cagrad", "nash_mtl", "fairgrad", "upgrad", "graddrop", "famo")


class Model(eqx.Module):
    """Someone's network: an MLP with its functions, a table of integers, and a Python number."""

    network: eqx.nn.MLP
    order: jax.Array
    scale: float


def model(dtype=jnp.float32):
    network = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    cast = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, network)
    return Model(cast, jnp.array([1, 0]), 2.0)


def losses(model):
    out = model.network(jnp.ones(3, model.network.layers[0].weight.dtype))[model.order]
    return jnp.square(out * out.dtype.type(model.scale)) + out.dtype.type(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_model_with_leaves_that_are_no_floats_gets_a_gradient_of_its_own_types(name, dtype):
    params, combiner = model(dtype), make_combiner(name)
    found = combined_gradient(combiner, losses, params, combiner.init(params, 2), key=jax.random.key(1))
    given, trained = (jax.tree.leaves(tree) for tree in (found.gradient, eqx.filter(params, eqx.is_inexact_array)))
    assert [(g.shape, g.dtype) for g in given] == [(p.shape, p.dtype) for p in trained]
    assert all(bool(jnp.isfinite(g.astype(jnp.float32)).all()) for g in given)


@pytest.mark.parametrize("form", [dict, list])
def test_named_and_listed_losses_give_the_gradient_of_an_array_of_them(form):
    params, combiner = model(), make_combiner("pcgrad")

    def named(model):
        one, two = losses(model)
        return {"one": one, "two": two} if form is dict else [one, two]

    state, key = combiner.init(params, 2), jax.random.key(1)
    plain, other = (combined_gradient(combiner, fn, params, state, key=key) for fn in (losses, named))
    assert eqx.tree_equal(plain.gradient, other.gradient)
    assert list(other.info["losses"]) == (["one", "two"] if form is dict else ["0", "1"])


def test_losses_of_another_form_are_answered_in_one_sentence():
    params, combiner = model(), make_combiner("sum")
    for wrong in (lambda m: losses(m).sum(), lambda m: "two", lambda m: {}):
        with pytest.raises(ValueError, match="losses_fn returns"):
            combined_gradient(combiner, wrong, params, combiner.init(params, 2), key=jax.random.key(1))


def test_float64_gives_float64():
    """In a process of its own: the type of numbers is decided once."""
    code = (
        "import jax; jax.config.update('jax_enable_x64', True)\n"
        "import warnings; warnings.simplefilter('error')\n"
        "import jax.numpy as jnp\n"
        "from polytask.combine import combined_gradient, make_combiner\n"
        "p = {'w': jnp.arange(3.0)}\n"
        "f = lambda p: (jnp.stack([p['w'].sum() ** 2 + 1, ((p['w'] - 1) ** 2).sum() + 1]), None)\n"
        f"for name in {NAMES}:\n"
        "    c = make_combiner(name)\n"
        "    g = combined_gradient(c, f, p, c.init(p, 2), key=jax.random.key(0)).gradient['w']\n"
        "    assert g.dtype == jnp.float64 and bool(jnp.isfinite(g).all()), name\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
