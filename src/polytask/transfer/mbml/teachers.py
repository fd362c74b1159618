"""The first stage of MBML: BCQ in each task alone, all tasks as one program."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from polytask.agents import bcq
from polytask.agents.base import TaskFacts
from polytask.agents.offline_config import BCQConfig
from polytask.replay.batch import Batch
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSet, TaskSpec
from polytask.transfer.mbml.config import MBMLConfig
from polytask.transfer.mbml.data import Logs, check


def teacher_config(config: MBMLConfig) -> BCQConfig:
    """BCQ in raw units, which the student then learns to give."""
    return BCQConfig(
        width=config.teacher_width,
        vae_width=config.teacher_width,
        perturbation=config.perturbation,
        candidates=config.candidates,
        batch_size=config.teacher_batch,
        learning_rate=config.learning_rate,
        normalise_observations=False,
        normalise_rewards=False,
    )


def teacher_facts(config: MBMLConfig, actions: int) -> TaskFacts:
    """Of one task with so many action dimensions."""
    ones = jnp.ones(1)
    return TaskFacts(jnp.ones((1, actions)), jnp.ones((1, 1), bool), config.discount * ones, 0 * ones, ones)


def fresh_teachers(config: MBMLConfig, logs: Logs, key: PRNGKeyArray) -> bcq.BCQState:
    """Teachers that have learned nothing, stacked along a leading axis."""
    observations, actions = logs.observations.shape[-1], logs.actions.shape[-1]
    spec = TaskSpec("mbml/task", "mbml", Vector(observations), Box((-1.0,) * actions, (1.0,) * actions), 1)
    keys = jax.random.split(key, len(logs.rewards))
    alone = [bcq.init(teacher_config(config), TaskSet((spec,)), k) for k in keys]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)


def train_teachers(config: MBMLConfig, logs: Logs, key: PRNGKeyArray) -> bcq.BCQState:
    """The states of all tasks' teachers, stacked along a leading axis. Raises ValueError as `check`."""
    check(logs)
    tasks, n = logs.rewards.shape
    key_init, key_steps = jax.random.split(key)
    own, facts = teacher_config(config), teacher_facts(config, logs.actions.shape[-1])
    states = fresh_teachers(config, logs, key_init)
    update = jax.vmap(partial(bcq.update, own, facts), (0, 0, None, 0))

    def step(states: bcq.BCQState, key: Array) -> tuple[bcq.BCQState, None]:
        key_draw, key_update = jax.random.split(key)
        at = jax.random.randint(key_draw, (tasks, 1, own.batch_size), 0, n)
        picked = jax.tree.map(lambda leaf: jax.vmap(lambda one, i: one[i])(leaf, at), logs)
        batches = Batch(**picked._asdict(), task_ids=jnp.zeros(at.shape, jnp.int32))
        return update(states, batches, jnp.ones(1), jax.random.split(key_update, tasks))[0], None

    return jax.jit(lambda s, k: jax.lax.scan(step, s, jax.random.split(k, config.teacher_steps))[0])(states, key_steps)
