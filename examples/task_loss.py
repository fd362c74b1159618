"""A predictor that is right where the decision needs it: TaskMet around your own model and your own decision.

A shop stocks one of eight products, by a linear forecast of demand that cannot fit. Run it: python task_loss.py
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from polytask.losses import (
    DecisionProblem,
    InputMetric,
    Instances,
    decision_quality,
    dfl,
    fit,
    hard_top_k,
    soft_top_k,
    task_loss_of,
    taskmet,
    two_stage,
)

PRODUCTS = 8


def demand(key: jax.Array, days: int) -> Instances:
    """Each day is an instance, each product a row: one feature, and the demand that follows from it."""
    x = jax.random.uniform(key, (days, PRODUCTS, 1), minval=-1.0, maxval=1.0)
    return Instances(x, jnp.where(x > 0.8, 4.0, 0.0) - x)


SHOP = DecisionProblem(
    objective=lambda z, y, aux: jnp.sum(z * y[:, 0]),
    soft=lambda prediction, aux: soft_top_k(prediction[:, 0], 1),
    hard=lambda prediction, aux: hard_top_k(prediction[:, 0], 1),
    random=lambda key, y, aux: hard_top_k(jax.random.uniform(key, (PRODUCTS,)), 1),
)


def main(steps: int = 400) -> None:
    """Trains the same line in three ways and compares errors with decisions."""
    key_train, key_test, key_line, key_metric, key_fit = jax.random.split(jax.random.key(0), 5)
    train, test = demand(key_train, 100), demand(key_test, 200)
    line = eqx.nn.Linear(1, 1, key=key_line)
    metric, loss, adam = InputMetric(1, 1, width=32, key=key_metric), task_loss_of(SHOP), optax.adam(0.05)
    ways = {
        "squared error": two_stage(line, optimiser=adam),
        "task loss": dfl(line, loss, optimiser=adam),
        "TaskMet": taskmet(line, metric, loss, predictor_optimiser=adam, metric_optimiser=optax.adam(1e-2)),
    }
    for name, learner in ways.items():
        fitted = fit(learner, train, key_fit, steps)
        quality = decision_quality(SHOP, fitted.predictor, test, key_test)
        print(f"{name:14} decision quality {quality.decision:5.2f}, squared error {quality.squared_error:5.2f}")


if __name__ == "__main__":
    main()
