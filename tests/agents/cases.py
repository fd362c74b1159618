"""Two small tasks of unequal dimensions, batches of them, and both agents' parts compiled once for all tests.

The facts are an argument of the compiled functions here, so that masking and the order of tasks can vary without
compiling anew. Nothing is donated: states can be used again.
"""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from polytask.agents import brc, sac
from polytask.agents.base import TaskFacts, task_facts
from polytask.agents.config import AgentConfig, BRCConfig, SACConfig
from polytask.replay.batch import Batch
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSet, TaskSpec

WIDTH, BATCH = 8, 8
BRC = BRCConfig(critic_width=WIDTH, critic_depth=1, actor_width=WIDTH, actor_depth=0, bins=11, embedding_dim=4)
SAC = SACConfig(width=WIDTH, depth=1)


def make_spec(name: str, observations: int, actions: int, discount: float) -> TaskSpec:
    return TaskSpec(name, "gym", Vector(observations), Box((-1.0,) * actions, (1.0,) * actions), 20, discount)


SMALL, LARGE = make_spec("small", 3, 2, 0.9), make_spec("large", 5, 4, 0.99)
TASKS = TaskSet((SMALL, LARGE))
OBSERVATIONS, ACTIONS = TASKS.observation_dim, TASKS.action_dim


def make_batches(task_ids, seed: int = 0) -> Batch:
    """Transitions of these tasks, padded with zeros as a stepper pads them. `task_ids` has the batch's shape."""
    ids, rng = np.asarray(task_ids, np.int32), np.random.default_rng(seed)

    def padded(width: int, sizes: list[int]) -> jax.Array:
        values = rng.uniform(-1, 1, (*ids.shape, width))
        return jnp.asarray(values * (np.arange(width) < np.array(sizes)[ids][..., None]), jnp.float32)

    seen, acted = [s.observation_dim for s in TASKS], [s.action_dim for s in TASKS]
    return Batch(
        padded(OBSERVATIONS, seen),
        padded(ACTIONS, acted),
        jnp.asarray(rng.normal(size=ids.shape), jnp.float32),
        jnp.asarray(rng.random(ids.shape) > 0.2, jnp.float32),
        padded(OBSERVATIONS, seen),
        jnp.asarray(ids),
    )


def both_tasks(seed: int = 0) -> Batch:
    """One batch (with its leading axis of one) in which both tasks stand."""
    return make_batches(np.arange(BATCH)[None] % 2, seed)


class Losses(NamedTuple):
    """What one batch gives, before any parameter moves."""

    critic_loss: jax.Array
    actor_loss: jax.Array
    log_probs: jax.Array
    critic_gradient: Any
    actor_gradient: Any


@dataclasses.dataclass(frozen=True)
class Case:
    """An agent's parts. `losses(facts, state, batch, noise)`, `update(facts, state, batches, bound, key)`."""

    config: AgentConfig
    facts: TaskFacts
    state: Any
    losses: Callable[..., Losses]
    update: Callable[..., tuple[Any, dict[str, jax.Array]]]

    def facts_with(self, *, mask_padded_actions: bool) -> TaskFacts:
        per_dimension = brc.ENTROPY_PER_DIMENSION if isinstance(self.config, BRCConfig) else sac.ENTROPY_PER_DIMENSION
        return task_facts(TASKS, mask_padded_actions=mask_padded_actions, entropy_per_dimension=per_dimension)


@cache
def brc_case() -> Case:
    def losses(facts: TaskFacts, state: brc.BRCState, batch: Batch, noise: jax.Array) -> Losses:
        target = brc.critic_target(BRC, facts, state, batch, noise[0])
        critic = jax.value_and_grad(lambda c: brc.critic_loss(BRC, facts, c, batch, target))(state.critic)
        (loss, (log_probs, _)), gradient = jax.value_and_grad(
            lambda a: brc.actor_loss(BRC, facts, a, state, batch, noise[1]), has_aux=True
        )(state.actor)
        return Losses(critic[0], loss, log_probs, critic[1], gradient)

    state = brc.init(BRC, TASKS, jax.random.key(0))
    case = Case(BRC, None, state, jax.jit(losses), jax.jit(partial(brc.update, BRC)))
    return dataclasses.replace(case, facts=case.facts_with(mask_padded_actions=True))


@cache
def sac_case() -> Case:
    def losses(facts: TaskFacts, state: sac.SACState, batch: Batch, noise: jax.Array) -> Losses:
        critic = jax.value_and_grad(lambda c: sac.critic_loss(SAC, facts, c, state, batch, noise[0]))(state.critic)
        (loss, (log_probs, _)), gradient = jax.value_and_grad(
            lambda a: sac.actor_loss(facts, a, state, batch, noise[1]), has_aux=True
        )(state.actor)
        return Losses(critic[0], loss, log_probs, critic[1], gradient)

    state = sac.init(SAC, TASKS, jax.random.key(0))
    case = Case(SAC, None, state, jax.jit(losses), jax.jit(partial(sac.update, SAC)))
    return dataclasses.replace(case, facts=case.facts_with(mask_padded_actions=True))


def leaves(tree: Any) -> dict[str, np.ndarray]:
    """A pytree's arrays by their path."""
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def assert_same(ours: Any, theirs: Any, **tolerance: float) -> None:
    """Two pytrees agree; to the bit, if no tolerance is given."""
    ours, theirs = leaves(ours), leaves(theirs)
    assert ours.keys() == theirs.keys()
    for path, x in ours.items():
        np.testing.assert_allclose(x, theirs[path], err_msg=path, **({"rtol": 0, "atol": 0} | tolerance))


def differ(ours: Any, theirs: Any) -> bool:
    ours, theirs = leaves(ours), leaves(theirs)
    return any((x != theirs[path]).any() for path, x in ours.items())


def assert_finite(tree: Any) -> None:
    for path, x in leaves(tree).items():
        assert np.isfinite(x).all(), path
