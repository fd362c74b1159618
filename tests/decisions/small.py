"""Two shops that order before demand is known, as small as a decision problem can be."""

import dataclasses

import jax
import jax.numpy as jnp

from polytask.decisions import Case
from polytask.losses import DecisionProblem, Instances

SHORT = jnp.array([0.3, 0.9])


def _data(key):
    x = jax.random.normal(key, (24, 2, 3))
    data = Instances(x, 1 + x[..., :1] * x[..., 1:2], None, jnp.broadcast_to(jnp.arange(2)[None], (24, 2)))
    return jax.tree.map(lambda a: a[:16], data), jax.tree.map(lambda a: a[16:], data)


def _cost(z, y, aux):
    missing = y[:, 0] - z
    return -jnp.sum(jnp.maximum(SHORT * missing, (SHORT - 1) * missing))


def _order(prediction, aux):
    return prediction[:, 0]


def _problem():
    return DecisionProblem(_cost, _order, _order, lambda key, y, aux: jax.random.uniform(key, (2,), maxval=2.0))


def shops() -> Case:
    """A problem of 16 instances to train and 8 to test."""
    return Case(
        _data,
        lambda temperature: _problem(),
        features=3,
        outputs=1,
        rate=0.05,
        steps=20,
        tasks=("cheap", "dear"),
        output_names=("demand",),
        inner_steps=2,
        outer_every=2,
    )


def _loud(key):
    """Data whose squares overflow, for every other key or so."""
    train, test = _data(key)
    return train._replace(y=train.y * jnp.where(jax.random.bits(key) % 2 == 1, 1e30, 1.0)), test


def loud_shops() -> Case:
    """The same, where some seeds cannot be learned from."""
    return dataclasses.replace(shops(), data=_loud)
