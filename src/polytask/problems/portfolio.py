"""Portfolio: invest in twenty stocks of the S&P 500 for a day, on real prices from 1990 to 2022 that skfolio ships.

max p^T z - 0.1 z^T Q z over the simplex, with p the next day's returns in percent, which are to be predicted, and Q the
covariance of the last sixty days. LODL and TaskMet take fifty stocks from a download that needs a key, and another Q;
so their numbers do not compare.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from polytask.losses.decision import quadratic_program
from polytask.losses.learner import Instances
from polytask.losses.quality import DecisionProblem

RISK_AVERSION = 0.1
WINDOW = 60
DAYS = 400
FEATURES = 7


def portfolio(key: PRNGKeyArray, days: int = DAYS) -> tuple[Instances, Instances]:
    """Training data from `days` days of the first two thirds of the years, test data from the rest; a row a stock.

    A row's features are its returns of the last five days, their mean over twenty days and their deviation over sixty,
    all in percent. What is predicted is the next day's return; `aux` is the covariance (stocks, stocks).

    Raises ImportError, naming the extra, if skfolio is missing.
    """
    try:
        from skfolio.datasets import load_sp500_dataset
    except ImportError as error:
        raise ImportError(
            "the portfolio's prices need skfolio: pip install -e '.[decisions]' in the checkout"
        ) from error
    prices = load_sp500_dataset().to_numpy(np.float64)
    returns = 100 * (prices[1:] / prices[:-1] - 1)
    last = len(returns) - 1
    split = WINDOW + 2 * (last - WINDOW) // 3
    key_train, key_test = jax.random.split(key)
    train = np.asarray(jax.random.choice(key_train, split - WINDOW, (days,), replace=False)) + WINDOW
    test = np.asarray(jax.random.choice(key_test, last - split, (days,), replace=False)) + split
    return _instances(returns, train), _instances(returns, test)


def _instances(returns: np.ndarray, days: np.ndarray) -> Instances:
    x, covariance = [], []
    for day in days:
        past = returns[day - WINDOW : day]
        x.append(np.stack([*past[-5:], past[-20:].mean(axis=0), past.std(axis=0)], axis=-1))
        covariance.append(np.cov(past.T))
    y = returns[days][..., None]
    return Instances(*(jnp.asarray(np.asarray(a), jnp.float32) for a in (x, y, covariance)))


def portfolio_problem(risk_aversion: float = RISK_AVERSION) -> DecisionProblem:
    """Weights on the simplex; the decision is a quadratic program, in training with a smoothed derivative."""

    def decide(prediction: Array, aux: Any) -> Array:
        stocks = prediction.shape[0]
        equal = (jnp.ones((1, stocks)), jnp.ones(1))
        positive = (-jnp.eye(stocks), jnp.zeros(stocks))
        return quadratic_program(2 * risk_aversion * aux, -prediction[:, 0], equal, positive)

    def objective(z: Array, y: Array, aux: Any) -> Array:
        return jnp.sum(z * y[:, 0]) - risk_aversion * z @ aux @ z

    def random(key: PRNGKeyArray, y: Array, aux: Any) -> Array:
        return jax.random.dirichlet(key, jnp.ones(y.shape[0]))

    return DecisionProblem(objective, decide, decide, random)
