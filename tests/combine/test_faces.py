"""Combining at a shared representation, and as an optax aggregator."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.experimental import aggregating

from polytask.combine import PerTask, combine_gradients, make_combiner, representation_gradient
from polytask.combine.optax_face import as_optax
from tests.combine.cases import KEY, assert_close
from tests.combine.test_step import PARAMS, TASKS, X, Y, flat, losses_fn


def trunk_fn(trunk):
    return jnp.tanh(X @ trunk)


def heads_fn(params):
    heads, z = params
    return jnp.square(heads @ z.T - Y).mean(axis=1), None


def head_loss(params, task, y):
    heads, z = params
    return jnp.square(z @ heads[task] - y).mean(), None


@pytest.mark.parametrize("heads_fn", [heads_fn, PerTask(head_loss, Y)], ids=["together", "each"])
@pytest.mark.parametrize("name", ["sum", "pcgrad", "graddrop"])
def test_representation_gradient(name, heads_fn):
    """The sum is the plain gradient; others combine dL_i/dz, and the trunk gets the pull-back of what comes out."""
    made = make_combiner(name)
    trunk, heads = PARAMS["trunk"], PARAMS["heads"]

    @jax.jit
    def both(trunk, heads):
        result = representation_gradient(made, trunk_fn, heads_fn, trunk, heads, made.init(trunk, TASKS), key=KEY)
        z, pull = jax.vjp(trunk_fn, trunk)
        rows = jax.jacrev(lambda z: heads_fn((heads, z))[0])(z)
        by_z = combine_gradients(made, rows, result.losses, made.init(z, TASKS), key=KEY).gradient
        return result, pull(by_z), jax.grad(lambda p: losses_fn(p)[0].sum())(PARAMS)

    result, pulled, plain = jax.device_get(both(trunk, heads))
    assert_close(flat(result.gradient[0]), flat(pulled), relative=1e-4)
    assert_close(flat(result.gradient[1]), flat(plain["heads"]), relative=1e-4)
    if name == "sum":
        assert_close(flat(result.gradient[0]), flat(plain["trunk"]), relative=1e-4)


def test_optax_processes_task_gradients():
    made = make_combiner("pcgrad")
    optimiser = aggregating.process(optax.identity(), as_optax(made, 2, KEY), optax.sgd(0.5))
    params = {"w": jnp.zeros(3)}
    gradients = {"w": jnp.array([[1.0, 0.0, 1.0], [-1.0, 1.0, 0.0]])}
    state = jax.jit(optimiser.init)(params)
    update = jax.jit(optimiser.update)
    combined = jax.jit(
        lambda step: combine_gradients(made, gradients, jnp.ones(2), (), key=jax.random.fold_in(KEY, step)).gradient
    )
    for step in range(2):
        updates, state = update(gradients, state, params)
        assert_close(updates["w"], -0.5 * np.asarray(combined(step)["w"]))


def test_optax_needs_the_losses_where_the_method_does():
    face = as_optax(make_combiner("famo"), 2, KEY)
    state = face.init(jnp.zeros(3))
    with pytest.raises(ValueError, match="give update its losses"):
        face.update(jnp.ones((2, 3)), state)
    combined, _ = jax.jit(face.update)(jnp.ones((2, 3)), state, losses=jnp.array([1.0, 2.0]))
    assert_close(combined, 2 * np.ones(3))
    with pytest.raises(ValueError, match="use combined_gradient"):
        as_optax(make_combiner("it_mtl"), 2, KEY)
