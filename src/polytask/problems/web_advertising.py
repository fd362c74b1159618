"""Web advertising: choose two of five sites to reach ten users (Wilder et al. 2019; LODL, arXiv 2203.16067).

The objective is the expected number of users reached, sum_j (1 - prod_i (1 - z_i y_ij)), with y_ij the chance that user
j clicks on site i. The click-through rates that the papers use are licensed data behind Git LFS and could not be
obtained; these rates are drawn, so no number here compares with a published one. The features are made as LODL's code
makes them: the standardised rates of a site, and noise, mixed by one random matrix.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from polytask.losses.decision import Temperature, hard_top_k, soft_budget
from polytask.losses.learner import Instances
from polytask.losses.quality import DecisionProblem

SITES, USERS, BUDGET = 5, 10, 2


def web_advertising(key: PRNGKeyArray, instances: int, mix_key: PRNGKeyArray, *, noise_features: int = 10) -> Instances:
    """Rows are sites: USERS features, and USERS click-through rates to predict.

    The rates are sigmoid(site + user + noise - 2), each normal with deviation one. LODL mixes 0 or 500 noise features
    into as many features as there are users; with 0 a linear predictor is exact, and 500 leave next to nothing.

    - `mix_key`: of the matrix; the same for training and test data.
    """
    key_site, key_user, key_noise, key_fake = jax.random.split(key, 4)
    site = jax.random.normal(key_site, (instances, SITES, 1))
    user = jax.random.normal(key_user, (instances, 1, USERS))
    y = jax.nn.sigmoid(site + user + jax.random.normal(key_noise, (instances, SITES, USERS)) - 2)
    fake = jax.random.normal(key_fake, (instances, SITES, noise_features))
    mean, spread = jnp.mean(y, (0, 1), keepdims=True), jnp.std(y, (0, 1), keepdims=True)
    inputs = jnp.concatenate([(y - mean) / spread, fake], axis=-1)
    mix = jax.random.normal(mix_key, (inputs.shape[-1], USERS)) / jnp.sqrt(jnp.float32(inputs.shape[-1]))
    return Instances(inputs @ mix, y)


def reached(z: Array, y: Array) -> Array:
    """The expected number of users reached by a choice z (sites,), which may be fractional."""
    return jnp.sum(1 - jnp.prod(1 - z[:, None] * jnp.clip(y, 0, 1), axis=0))


def web_advertising_problem(temperature: Temperature = 0.05) -> DecisionProblem:
    """Choose BUDGET sites: the best of all pairs, or in training an entropy-regularised multilinear relaxation."""
    pairs = [[float(i in pair) for i in range(SITES)] for pair in itertools.combinations(range(SITES), BUDGET)]
    choices = jnp.asarray(pairs, jnp.float32)

    def hard(prediction: Array, aux: Any) -> Array:
        return choices[jnp.argmax(jax.vmap(lambda z: reached(z, prediction))(choices))]

    def random(key: PRNGKeyArray, y: Array, aux: Any) -> Array:
        return hard_top_k(jax.random.uniform(key, (SITES,)), BUDGET)

    return DecisionProblem(
        objective=lambda z, y, aux: reached(z, y),
        soft=lambda prediction, aux: soft_budget(lambda z: reached(z, prediction), SITES, BUDGET, temperature),
        hard=hard,
        random=random,
    )
