"""Newsvendor: how much to order before demand is known, for three shops, on scikit-learn's diabetes data.

The demand is the disease's progression after a year, in hundreds, from ten measurements. Each shop is a task: it pays
for a unit short and for a unit left over, in a proportion of its own, and the best order is that quantile of the
demand. A prediction of the mean serves only the shop to which both cost the same.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from polytask.losses.learner import Instances
from polytask.losses.quality import DecisionProblem

SHORTAGE = (0.5, 0.8, 0.95)
"""What a unit short costs in each shop; a unit left over costs one minus that."""
TRAIN = 300


def newsvendor(key: PRNGKeyArray) -> tuple[Instances, Instances]:
    """Training and test data, 300 and 142 instances drawn by `key`; a row for each shop.

    A row has the ten measurements, of deviation one, and the shop's one-hot index; the demand is the same in all shops.

    Raises ImportError, naming the extra, if scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_diabetes
    except ImportError as error:
        raise ImportError(
            "the newsvendor's data need scikit-learn: pip install -e '.[decisions]' in the checkout"
        ) from error
    features, progression = (np.asarray(part) for part in load_diabetes(return_X_y=True))
    measured = jnp.asarray(features / features.std(axis=0), jnp.float32)[:, None]
    demand = jnp.asarray(progression / 100, jnp.float32)[:, None, None]
    shops, count = len(SHORTAGE), len(measured)
    one_hot = jnp.broadcast_to(jnp.eye(shops)[None], (count, shops, shops))
    x = jnp.concatenate([jnp.broadcast_to(measured, (count, shops, measured.shape[-1])), one_hot], axis=-1)
    y = jnp.broadcast_to(demand, (count, shops, 1))
    task = jnp.broadcast_to(jnp.arange(shops)[None], (count, shops))
    order = jax.random.permutation(key, count)
    data = Instances(x[order], y[order], None, task[order])
    return jax.tree.map(lambda a: a[:TRAIN], data), jax.tree.map(lambda a: a[TRAIN:], data)


def newsvendor_problem() -> DecisionProblem:
    """Order what was predicted; the objective is minus the total cost. Random orders are uniform over 0 to 3.5."""
    short = jnp.asarray(SHORTAGE)

    def objective(z: Array, y: Array, aux: Any) -> Array:
        missing = y[:, 0] - z
        return -jnp.sum(jnp.maximum(short * missing, (short - 1) * missing))

    def order(prediction: Array, aux: Any) -> Array:
        return prediction[:, 0]

    def random(key: PRNGKeyArray, y: Array, aux: Any) -> Array:
        return jax.random.uniform(key, y[:, 0].shape, maxval=3.5)

    return DecisionProblem(objective, order, order, random)
