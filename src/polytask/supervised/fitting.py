"""A whole supervised training as one pure function, to be jitted, and vmapped over seeds and subsets of tasks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from polytask import random
from polytask.affinity.averages import Averages
from polytask.combine import Combiner
from polytask.supervised.config import SupervisedConfig
from polytask.supervised.model import Figures, evaluate
from polytask.supervised.problem import Problem
from polytask.supervised.training import State, advance, init, make_setup, nothing_seen, stopped


class Result(NamedTuple):
    """What a training came to.

    - `validation`, `test`: figures by task of the parameters that were best on the validation rows, at `best_step`.
    - `params`: these parameters; `steps`: how many steps were trained, fewer than asked for if patience ran out.
    - `history`: each task's validation loss at every evaluation, NaN after the end.
    - `affinity`: by measure, what the tasks did to each other between two evaluations, with a leading axis of
      evaluations; empty unless `affinity_every` is given. Average up to `best_step` (docs/affinity.md says why).
    """

    validation: Figures
    test: Figures
    params: PyTree
    best_step: Int[Array, "..."]
    steps: Int[Array, "..."]
    history: Float[Array, "... evaluations tasks"]
    affinity: dict[str, Averages]


def fit(
    problem: Problem,
    config: SupervisedConfig,
    combiner: Combiner,
    key: PRNGKeyArray,
    tasks: Bool[Array, " tasks"] | None = None,
    learning_rate: Float[Array, ""] | None = None,
) -> Result:
    """Trains on the problem, or on those of its tasks that `tasks` marks; a pure function of its arguments.

    Figures of tasks that took no part are those of heads as they were drawn. The same key gives every subset the same
    first parameters and the same batches. What is traced (the problem's arrays, `key`, `tasks`, `learning_rate`) can be
    vmapped; under vmap a training whose patience has run out waits unchanged for the others. With patience, vmap also
    makes every step pay for a measurement of affinity.

    The problem is taken as it stands; `scaling.standardised` makes the one that a run trains on. Without `eval_every`
    there is one evaluation, of the last parameters.
    """
    setup = make_setup(problem, config, combiner, tasks, learning_rate)
    every = config.eval_every or config.steps
    evaluations, rest = -(-config.steps // every), config.steps % every
    key_init, key_train = jax.random.split(key)

    def goes_on(carry: tuple[State, Any]) -> Bool[Array, ""]:
        state, _ = carry
        return (state.step + every <= config.steps) & ~stopped(config, state)

    def body(carry: tuple[State, Any], count: int = every) -> tuple[State, Any]:
        state, histories = carry
        row = state.step // every
        state, found = advance(setup, state, key_train, count)
        new = (found.validation.loss, found.affinity)
        return state, jax.tree.map(lambda all_rows, one: all_rows.at[row].set(one), histories, new)

    history = jnp.full((evaluations, len(problem.tasks)), jnp.nan)
    affinity = jax.tree.map(lambda x: jnp.stack([x] * evaluations), nothing_seen(setup))
    carry = jax.lax.while_loop(goes_on, body, (init(setup, key_init), (history, affinity)))
    if rest:
        carry = jax.lax.cond(stopped(config, carry[0]), lambda c: c, lambda c: body(c, rest), carry)
    state, (history, affinity) = carry
    best = setup.model(state.best)
    return Result(
        validation=evaluate(problem.tasks, best, problem.validation),
        test=evaluate(problem.tasks, best, problem.test),
        params=state.best,
        best_step=state.best_step,
        steps=state.step,
        history=history,
        affinity=affinity,
    )


def fit_seeds(
    problem: Problem,
    config: SupervisedConfig,
    combiner: Combiner,
    seeds: Sequence[int],
    tasks: Bool[Array, " tasks"] | None = None,
) -> Result:
    """`fit` for several seeds in one program; every array of the result has a leading axis of seeds.

    Seed s draws what `polytask train --seed s` draws.
    """
    return _fit_seeds(problem, config, combiner, jnp.stack([seed_key(seed) for seed in seeds]), tasks)


def fit_subsets(
    problem: Problem,
    config: SupervisedConfig,
    combiner: Combiner,
    seed: int,
    subsets: Bool[Array, "subsets tasks"],
) -> Result:
    """`fit` for several subsets of the tasks in one program, all from the same parameters and with the same batches."""
    return _fit_subsets(problem, config, combiner, seed_key(seed), subsets)


def seed_key(seed: int) -> PRNGKeyArray:
    """The key of a training with this seed."""
    return random.key(seed, "supervised")


@eqx.filter_jit
def _fit_seeds(
    problem: Problem, config: SupervisedConfig, combiner: Combiner, keys: Array, tasks: Array | None
) -> Result:
    return jax.vmap(lambda key: fit(problem, config, combiner, key, tasks))(keys)


@eqx.filter_jit
def _fit_subsets(
    problem: Problem, config: SupervisedConfig, combiner: Combiner, key: PRNGKeyArray, subsets: Array
) -> Result:
    return jax.vmap(lambda tasks: fit(problem, config, combiner, key, tasks))(subsets)
