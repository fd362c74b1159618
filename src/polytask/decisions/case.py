"""A decision problem as it is trained on: data, predictor and settings; and every method on it as a learner."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import PRNGKeyArray

from polytask.decisions.config import LOSSES, DecisionConfig
from polytask.losses.decision import Temperature
from polytask.losses.learner import Instances, Learner
from polytask.losses.lodl import lodl
from polytask.losses.metric import FixedTrace, InputMetric, LearnedDiagonal, LearnedFull, per_task
from polytask.losses.quality import DecisionProblem, regret_of, task_loss_of
from polytask.losses.rivals import Oracle, dfl, spo_plus, two_stage
from polytask.losses.taskmet import taskmet

EVALUATIONS = 40
"""About how often a training is evaluated, unless a person says otherwise."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A decision problem with what it is trained by.

    - `data(key)`: training and test data of a seed; the same shapes for every key.
    - `problem(temperature)`: the decision, where training smooths it by the temperature if it has one.
    - `features`, `outputs`: of a row.
    - `rate`: of the predictor's Adam; `steps`: minibatch steps.
    - `temperatures`: those at which it is learned, the usual one first; one alone where the problem has none.
    - `oracle`: the hard decision, where the objective is linear in what is predicted.
    - `samples`: perturbed truths for each instance of LODL.
    - `predictor(key)`: the module that is trained; a linear one by default, so that no method can simply be right.
    - `tasks`: names for the indices in `Instances.task`; `output_names`: for the outputs.
    - `inner_steps`: of the predictor, for each outer step of TaskMet, which counts as `outer_every` steps.
    - `identity_init`: whether a metric that depends on the input starts near the identity.
    """

    data: Callable[[PRNGKeyArray], tuple[Instances, Instances]]
    problem: Callable[[Temperature], DecisionProblem]
    features: int
    outputs: int
    rate: float
    steps: int = 1000
    temperatures: tuple[float, ...] = (1.0,)
    oracle: Oracle | None = None
    samples: int = 100
    predictor: Callable[[PRNGKeyArray], eqx.Module] | None = None
    tasks: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    inner_steps: int = 20
    outer_every: int = 10
    identity_init: bool = True

    @property
    def losses(self) -> tuple[str, ...]:
        """What `DecisionConfig.loss` may be here: SPO+ only where the objective is linear."""
        return tuple(loss for loss in LOSSES if loss != "spo+" or self.oracle is not None)


def resolved(case: Case, config: DecisionConfig) -> DecisionConfig:
    """The configuration with the problem's numbers where it has zeros.

    Raises ValueError where the loss does not fit the problem, and for steps that cannot be evaluated evenly.
    """
    if config.loss not in case.losses:
        raise ValueError(
            f"--loss {config.loss} needs an objective that is linear in what is predicted, and that of "
            f"{config.problem} is not; it takes {', '.join(case.losses)}"
        )
    if config.per_task and len(case.tasks) < 2:
        raise ValueError(f"--per-task: {config.problem} has one task; leave it out")
    unit, steps = steps_of_update(case, config), config.steps or case.steps
    every = config.eval_every
    if not every:
        updates = max(1, steps // unit)
        every = unit * next(d for d in range(max(1, updates // EVALUATIONS), updates + 1) if updates % d == 0)
    if every % unit:
        raise ValueError(
            f"an outer step of TaskMet counts as {unit} here, so --eval-every is a multiple of {unit}, not {every}"
        )
    if steps % every:
        below = steps // every * every
        raise ValueError(
            f"steps={steps} is no multiple of {every}, the steps between evaluations; say --steps {below or every}, "
            f"or another --eval-every" + (f" (an outer step of TaskMet counts as {unit})" if unit > 1 else "")
        )
    return dataclasses.replace(
        config,
        steps=steps,
        eval_every=every,
        temperature=config.temperature or case.temperatures[0],
        learning_rate=config.learning_rate or case.rate,
    )


def steps_of_update(case: Case, config: DecisionConfig) -> int:
    """The steps that one update of the learner counts as."""
    return case.outer_every if config.loss == "taskmet" else 1


def make_modules(case: Case, config: DecisionConfig, key: PRNGKeyArray) -> tuple[eqx.Module, eqx.Module | None]:
    """A fresh predictor, and the metric that TaskMet starts from."""
    key_predictor, key_metric = jax.random.split(key)
    if case.predictor is None:
        predictor: Any = eqx.nn.Linear(case.features, case.outputs, key=key_predictor)
    else:
        predictor = case.predictor(key_predictor)
    if config.loss != "taskmet":
        return predictor, None

    def make(key: PRNGKeyArray) -> eqx.Module:
        if config.metric == "input":
            metric = InputMetric(case.features, case.outputs, identity_init=case.identity_init, key=key)
        else:
            metric = LearnedDiagonal(case.outputs) if config.metric == "diagonal" else LearnedFull(case.outputs)
        return metric

    metric = per_task(make, len(case.tasks), key_metric) if config.per_task else make(key_metric)
    return predictor, FixedTrace(metric, config.trace) if config.trace else metric


def learner_of(
    case: Case, config: DecisionConfig, key: PRNGKeyArray, temperature: Temperature | None = None
) -> Learner:
    """The learner of a resolved configuration, fresh by `key`; `temperature` may be traced, else it is the config's."""
    predictor, metric = make_modules(case, config, key)
    problem = case.problem(config.temperature if temperature is None else temperature)
    adam, batch = optax.adam(config.learning_rate), config.batch_size or None
    if metric is not None:
        return taskmet(
            predictor,
            metric,
            task_loss_of(problem),
            predictor_optimiser=adam,
            inner_steps=case.inner_steps,
            batch=batch,
        )
    if config.loss == "lodl":
        regret = regret_of(problem)
        return lodl(predictor, regret, samples=case.samples, noise=0.5, optimiser=adam, batch=batch)
    if config.loss == "spo+" and case.oracle is not None:
        return spo_plus(predictor, case.oracle, optimiser=adam, batch=batch)
    if config.loss == "two-stage":
        return two_stage(predictor, optimiser=adam, batch=batch)
    weight = float(config.loss == "dfl+mse")
    return dfl(predictor, task_loss_of(problem), error_weight=weight, optimiser=adam, batch=batch)
