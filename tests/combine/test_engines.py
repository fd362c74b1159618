"""Ways to all task gradients: what they may lay down anew, and what memory they take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import combined_gradient, make_combiner
from polytask.combine.engines import jacobian, turned

ROWS, WIDTH, TASKS = 7, 5, 3
KEYS = jax.random.split(jax.random.key(0), 4)
FIRST, SECOND = jax.random.normal(KEYS[0], (4, WIDTH)), jax.random.normal(KEYS[1], (WIDTH, TASKS))
INPUTS = jax.random.normal(KEYS[2], (ROWS, 4))


def dense(activation):
    """The losses of two dense layers, as a function of their kernels and inputs."""

    def losses(params):
        first, second, inputs = params
        return jnp.square(activation(inputs @ first) @ second - 1.0).mean(axis=0)

    return losses


def held(pull):
    """The shapes of what a pull-back holds."""
    return sorted(const.shape for const in jax.make_jaxpr(pull)(jnp.ones(TASKS)).consts)


def seen_in_a_loss(params):
    """The first product's activations are not only multiplied, but looked at."""
    hidden = params[2] @ params[0]
    return jnp.square(hidden @ params[1]).mean(axis=0) + jnp.square(hidden).mean()


def convolution(params):
    """No dense layer at all."""
    image = jax.lax.conv(params[2].reshape(1, 1, ROWS, 4), params[0][:2, :2].reshape(1, 1, 2, 2), (1, 1), "SAME")
    return jnp.stack([jnp.square(image).mean(), image.mean(), jnp.sin(image).sum()])


@pytest.mark.parametrize(
    "losses", [dense(jax.nn.relu), dense(jnp.tanh), dense(jax.jit(jax.nn.gelu)), seen_in_a_loss, convolution]
)
def test_a_turned_pull_back_pulls_the_same(losses):
    values, pull = jax.vjp(losses, (FIRST, SECOND, INPUTS))
    for seed in (*jnp.eye(TASKS), values):
        for plain, other in zip(pull(seed)[0], turned(pull, values)(seed)[0], strict=True):
            np.testing.assert_allclose(other, plain, rtol=1e-5, atol=1e-6)


def test_only_what_is_summed_over_rows_is_turned():
    values, pull = jax.vjp(dense(jax.nn.relu), (FIRST, SECOND, INPUTS))
    hidden, inputs = (ROWS, WIDTH), (ROWS, 4)
    before, after = held(pull), held(turned(pull, values))
    assert inputs in before
    assert inputs not in after
    assert inputs[::-1] in after
    assert after.count(hidden) == before.count(hidden) - 1  # the activations are turned, the mask of relu is not
    assert after.count(FIRST.shape) == before.count(FIRST.shape)


def test_task_gradients_by_loop_are_those_of_the_batch():
    losses = dense(jax.nn.relu)
    params = (FIRST, SECOND, INPUTS)
    rows, batch = (jacobian(lambda p: (losses(p), None), params, chunk) for chunk in (1, None))
    for a, b in zip(rows.gradients, batch.gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="XLA's account of memory on the CPU")
@pytest.mark.parametrize("name", ["pcgrad", "mgda"])
def test_task_gradients_are_held_once(name):
    """Neither the search for gradients that are not finite nor their scaling copies them, also where they never run."""
    tasks, kernel = 10, jnp.ones((256, 510))
    combiner = make_combiner(name)

    def losses(kernel):
        return jnp.square(jnp.ones((16, 256)) @ kernel).reshape(16, tasks, -1).mean(axis=(0, 2)), None

    program = jax.jit(lambda p: combined_gradient(combiner, losses, p, (), key=jax.random.key(0)).gradient)
    account = program.lower(kernel).compile().memory_analysis()
    assert account is not None
    assert account.temp_size_in_bytes < 1.5 * tasks * kernel.nbytes
