"""What the test data say of a predictor that feeds a decision, with intervals over their instances."""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.decisions.case import Case
from polytask.decisions.predictor import load
from polytask.decisions.training import keys_of
from polytask.evaluation.statistics import Estimate, bootstrap_rows
from polytask.losses.learner import Instances, predict
from polytask.losses.quality import instance_bounds, instance_objectives
from polytask.runs.folder import RunFolder
from polytask.runs.loggers import plain
from polytask.runs.provenance import fingerprint
from polytask.training import kinds


class Tested(NamedTuple):
    """Figures on the test data, at a run's newest checkpoint; intervals are 95 % over instances, and say nothing about
    other seeds.

    - `decision`: (objective - random) / (oracle - random); these three are what decisions are worth, in means.
    """

    step: int
    instances: int
    decision: Estimate
    squared_error: Estimate
    objective: Estimate
    oracle: Estimate
    random: Estimate


def measure_run(run: Path | str, case: Case) -> Tested:
    """Measures what a run has learned on its test data; `case` is the problem that it was trained on.

    Raises RunFolderError or CheckpointError if the folder holds no such run, and ValueError if the case's data are not
    those of the run.
    """
    content = RunFolder(Path(run)).read_config()
    config, trained = kinds.config_of(content), load(run, case)
    keys = keys_of(config.seed)
    data = case.data(keys.data)
    if fingerprint(data) != content["drawn"]["sha256"]:
        raise ValueError(f"the data of {config.problem} have changed since {run} was trained on them")
    columns = _figures(case, config.temperature, trained.predictor, data[1], keys.random)
    return _estimates(trained.step, np.asarray(columns, np.float64))


@eqx.filter_jit
def _figures(
    case: Case, temperature: float, predictor: Any, test: Instances, key: PRNGKeyArray
) -> Float[Array, "figures instances"]:
    """Squared error, objective, oracle and random of each instance."""
    problem = case.problem(temperature)
    prediction = predict(predictor, test.x)
    errors = jnp.square(prediction - test.y).reshape(len(test.y), -1).mean(1)
    bounds = instance_bounds(problem, test, key)
    return jnp.stack([errors, instance_objectives(problem, prediction, test), bounds.oracle, bounds.random])


def _estimates(step: int, figures: Float[np.ndarray, "figures instances"]) -> Tested:
    count = figures.shape[1]
    error, objective, oracle, random = (bootstrap_rows(row[None], lambda sums: sums[0] / count) for row in figures)

    def quality(sums: np.ndarray) -> np.ndarray:
        return (sums[0] - sums[2]) / (sums[1] - sums[2])

    return Tested(step, count, bootstrap_rows(figures[1:], quality), error, objective, oracle, random)


def to_json(tested: Tested) -> dict[str, Any]:
    """What evaluation.json holds."""
    figures = tested._asdict()
    return {name: plain(value._asdict()) if isinstance(value, Estimate) else value for name, value in figures.items()}
