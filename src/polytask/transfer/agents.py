"""What a trained BRC agent gives to new tasks.

The paper claims transfer, and its protocol could not be obtained: all of this is ours. Copied are actor, critics and
targets; fresh are the new tasks' embedding rows, of length 1, the temperature, the optimisers, the replay and the
bounds of returns. What may move is `BRCConfig.moving`.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from polytask import random
from polytask.agents.base import Agent
from polytask.networks import TaskEmbedding, split
from polytask.replay import Replay, ReturnBounds
from polytask.stepping import Stepper

COPIED = ("actor", "critic", "target_critic")
TRANSITIONS = 256  # of each new task, by which `similar` judges an old task's embedding


def copied(state: Any, way: str, keep: bool) -> list[str]:
    """The fields of an agent's state that a source run gives: all but optimisers, or the networks alone.

    With `keep`, and with the way "fit", temperatures, moments and scales come along, tasks matched by name.
    """
    names = [one.name for one in dataclasses.fields(state) if "optimiser" not in one.name]
    return names if keep or way == "fit" else [name for name in names if name in COPIED]


def begun(state: Any, moving: Any, new: np.ndarray) -> Any:
    """A state after copying: the embeddings of `new` tasks (rows) have length 1, and what does not move is the same in
    targets and critics, as it would come to be."""
    conditioning = state.critic.conditioning
    if isinstance(conditioning, TaskEmbedding):
        rows = conditioning.table[new]
        length = jnp.linalg.norm(rows, ord=2 if conditioning.norm == "l2" else 1, axis=-1, keepdims=True)
        state = _with_rows(state, new, rows / length)
    target = eqx.combine(split(state.target_critic, moving)[0], split(state.critic, moving)[1])
    return dataclasses.replace(state, target_critic=jax.tree.map(jnp.copy, target))


def _with_rows(state: Any, rows: Any, values: Any) -> Any:
    """With these rows of the embeddings of critics and targets."""

    def tables(state: Any) -> list[Any]:
        return [state.critic.conditioning.table, state.target_critic.conditioning.table]

    return eqx.tree_at(tables, state, [table.at[rows].set(values) for table in tables(state)])


def most_similar(
    agent: Agent, state: Any, stepper: Stepper, old: Float[np.ndarray, "old dim"], new: np.ndarray, seed: int
) -> tuple[Any, Float[np.ndarray, "old new"]]:
    """The state in which each new task's embedding is that of the old task under which the critics' loss is least, and
    these losses.

    They are taken on TRANSITIONS transitions out of an episode or more of random actions in each task.

    - `old`: the source's table of embeddings; `new`: the rows of tasks that have none yet.
    """
    replay, bound = _randomly(agent, stepper, seed)
    batches = replay.sample_per_task(TRANSITIONS, random.generator(seed, "similar sample"))
    key = random.key(seed, "similar")
    losses = [
        np.asarray(agent.diagnose(_with_rows(state, new, row[None]), batches, bound, key)["critic_loss"])[new]
        for row in old
    ]
    best = np.argmin(losses, axis=0)
    return _with_rows(state, new, old[best]), np.array(losses)


def _randomly(agent: Agent, stepper: Stepper, seed: int) -> tuple[Replay, Float[np.ndarray, " tasks"]]:
    """An episode or more of random actions in every task, and the bounds of their returns."""
    tasks = agent.tasks
    steps = max(TRANSITIONS, tasks.horizon)
    replay = Replay(
        *(len(tasks), tasks.observation_dim, tasks.action_width, 2 * steps + 2),
        discounts=tasks.discounts,
        images=tasks.placed_images,
    )
    bounds = ReturnBounds(tasks.discounts, tasks.horizon)
    observations = stepper.reset(random.integer(seed, "similar environment"))
    for step in range(steps):
        actions = random_actions(agent, seed, step, "similar")
        result = stepper.step(actions)
        valid, ends = ~result.restarted, (result.terminated, result.truncated)
        replay.insert(observations, actions, result.rewards, *ends, result.next_observations, valid)
        bounds.update(result.rewards, *ends, valid)
        observations = result.observations
    return replay, bounds.bound


def random_actions(agent: Agent, seed: int, draw: int, purpose: str = "warmup") -> Float[np.ndarray, "tasks width"]:
    """Uniform in [-1, 1], and over each task's own choices; a function of (seed, purpose, draw)."""
    mask = np.asarray(agent.facts.action_mask)
    uniform = random.generator(seed, purpose, draw).uniform(-1, 1, mask.shape)
    actions = (uniform * mask).astype(np.float32)
    if agent.tasks.choices == 1:
        return actions
    choices = [spec.choices for spec in agent.tasks]
    chosen = random.generator(seed, f"{purpose} choice", draw).integers(choices)
    return np.column_stack([actions, chosen.astype(np.float32)])
