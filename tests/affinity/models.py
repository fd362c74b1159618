"""Small models with several tasks, and the reference that looks ahead by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

TASKS, ROWS, INPUTS, WIDTH = 4, 24, 5, 7


def data(seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(ROWS, INPUTS)).astype(np.float32)
    targets = rng.normal(size=(TASKS, ROWS)).astype(np.float32)
    return jnp.asarray(inputs), jnp.asarray(targets)


def trunk_and_heads(seed=1):
    """(trunk, heads): a hidden layer, and a row of the head matrix for each task."""
    rng = np.random.default_rng(seed)
    trunk = {
        "kernel": jnp.asarray(rng.normal(size=(INPUTS, WIDTH)).astype(np.float32) / 2),
        "bias": jnp.zeros(WIDTH),
    }
    return trunk, jnp.asarray(rng.normal(size=(TASKS, WIDTH)).astype(np.float32) / 2)


SHARED = (True, False)


def make_losses(inputs, targets):
    def losses(params):
        trunk, heads = params
        hidden = jnp.tanh(inputs @ trunk["kernel"] + trunk["bias"][None])
        return jnp.square(heads @ hidden.T - targets).mean(axis=1)

    return losses


def own_gradient(losses, params, task):
    """The gradient of one loss in everything, heads as well."""
    return jax.grad(lambda p: losses(p)[task])(params)


class Net(eqx.Module):
    """An Equinox model with an activation function among its leaves: shared body, one output per task."""

    body: eqx.nn.MLP
    head: eqx.nn.Linear

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.body = eqx.nn.MLP(INPUTS, WIDTH, 8, 1, final_activation=jnp.tanh, key=first)
        self.head = eqx.nn.Linear(WIDTH, TASKS, key=second)

    def __call__(self, x):
        return self.head(self.body(x))
