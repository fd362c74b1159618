"""The trainings of the claim `rcm`: tasks, seeds and orders of tasks side by side, as lanes of one program."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from polytask import random
from polytask.claims.rcm import WAYS, Plan
from polytask.claims.small_images import TASKS, problems
from polytask.combine import make_combiner
from polytask.networks import ConvTrunk, RCTrunk, response_init
from polytask.networks.reparameterised import Frozen, Modulator
from polytask.supervised import OptimiserConfig, SupervisedConfig, fit
from polytask.supervised.fitting import Result
from polytask.supervised.model import evaluate
from polytask.supervised.problem import Problem


def measured(name: str, plan: Plan) -> dict[str, Float[np.ndarray, "tasks seeds"]]:
    """Test accuracies of each way, and of networks of their own ("single").

    Of one trunk tuned to one task after another: the accuracy in the last, and by how much its answers to the tasks
    before have become worse at worst ("forgetting"), by the task that it began with.
    """
    tasks, seeds = TASKS[name], plan.seeds
    data = [problems(name, seed) for seed in seeds]
    lanes = [(t, s) for t in range(len(tasks)) for s in range(len(seeds))]

    def problem(step: int) -> Problem:
        """Of each lane the task that it learns at this step; a lane begins with the task that it is named by."""
        return _stacked([data[s][tasks[(t + step) % len(tasks)]] for t, s in lanes])

    def keys(purpose: str) -> Array:
        return jnp.stack([random.key(seeds[s], f"rcm: {purpose}", t) for t, s in lanes])

    def shaped(values: Array) -> Float[np.ndarray, "tasks seeds"]:
        return np.asarray(values, np.float64).reshape(len(tasks), len(seeds))

    fresh = [ConvTrunk((8, 8), plan.width, plan.depth, key=random.key(seed, "rcm: trunk")) for seed in seeds]
    first = _stacked([data[s]["first"] for _, s in lanes])
    same = jnp.stack([random.key(seeds[s], "rcm: first") for _, s in lanes])
    trunk = _tuned(plan, first, _stacked([fresh[s] for _, s in lanes]), same).params.trunk

    steps: list[Result] = []
    for step in range(len(tasks)):
        begin = steps[-1].params.trunk if steps else trunk
        steps.append(_tuned(plan, problem(step), begin, keys(str(step))))
    last = steps[-1].params.trunk
    drops = [s.test.score[:, 0] - _scores(problem(i), last, s.params.heads) for i, s in enumerate(steps[:-1])]
    found = {
        "single": shaped(steps[0].test.score[:, 0]),
        "one after another": np.roll(shaped(steps[-1].test.score[:, 0]), len(tasks) - 1, axis=0),
        "forgetting": shaped(jnp.stack(drops).max(0)),
    }
    rotations = _rotations(trunk, first.validation.inputs)
    identity = tuple(jnp.broadcast_to(jnp.eye(plan.width), u.shape) for u in rotations)
    drawn = tuple(
        jax.random.normal(random.key(0, "rcm: random", i), u.shape) / plan.width**0.5 for i, u in enumerate(rotations)
    )
    starts = ((rotations, ()), (identity, drawn), (identity, identity), (rotations, rotations), (rotations, rotations))
    for way, (rotation, rows) in zip(WAYS, starts, strict=True):
        result = _added(plan, way == WAYS[-1], problem(0), trunk, rotation, rows, keys("0"))
        found[way] = shaped(result.test.score[:, 0])
    return found


def _stacked(trees: Sequence[PyTree]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _fit(plan: Plan, problem: Problem, trunk: Any, key: Array) -> Result:
    own = Problem(problem.train, problem.validation, problem.test, problem.name, problem.tasks, lambda _: trunk)
    config = SupervisedConfig(
        optimiser=OptimiserConfig(learning_rate=plan.rate),
        batch_size=plan.batch,
        steps=plan.steps,
        eval_every=plan.every,
    )
    return fit(own, config, make_combiner("sum"), key)


@eqx.filter_jit
def _tuned(plan: Plan, problem: Problem, trunk: ConvTrunk, keys: Array) -> Result:
    """All of the trunk, tuned, in each lane."""
    return jax.vmap(lambda problem, trunk, key: _fit(plan, problem, trunk, key))(problem, trunk, keys)


@eqx.filter_jit
def _added(
    plan: Plan,
    normalised: bool,
    problem: Problem,
    trunk: ConvTrunk,
    rotations: tuple[Array, ...],
    rows: tuple[Array, ...],
    keys: Array,
) -> Result:
    """Modulators that begin with these rows and normalisations, tuned over frozen filters, in each lane."""

    def one(
        problem: Problem, trunk: ConvTrunk, rotations: tuple[Array, ...], rows: tuple[Array, ...], key: Array
    ) -> Any:
        gain = jnp.ones(plan.width) if normalised else None
        modulators = tuple(Modulator(r, gain) for r in rows)
        result = _fit(plan, problem, RCTrunk(modulators, trunk.norms, Frozen(trunk.convs, rotations)), key)
        return result._replace(params=None)  # they hold the filters, which are of this lane

    return jax.vmap(one)(problem, trunk, rotations, rows, keys)


@eqx.filter_jit
def _scores(problem: Problem, trunk: ConvTrunk, heads: Any) -> Array:
    def one(problem: Problem, trunk: ConvTrunk, heads: Any) -> Array:
        return evaluate(problem.tasks, lambda x: heads(trunk(x)), problem.test).score[0]

    return jax.vmap(one)(problem, trunk, heads)


@eqx.filter_jit
def _rotations(trunk: ConvTrunk, images: Array) -> tuple[Array, ...]:
    return jax.vmap(lambda trunk, images: response_init(trunk, images).rotations)(trunk, images)
