"""What of an agent moves, and what keeps its bits."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import brc
from polytask.agents.base import task_facts
from polytask.networks import adapted, split
from tests.agents.cases import BRC, TASKS, both_tasks, brc_case, leaves

# By mode, the parts of names of the leaves that move.
MOVES = {
    "embeddings": ("conditioning",),
    "heads": ("conditioning", "head", "mean", "log_std", "norm"),
    "adapters": ("conditioning", "adapter"),
}


def updated(config, state, updates=2):
    facts = task_facts(TASKS, mask_padded_actions=True, entropy_per_dimension=brc.ENTROPY_PER_DIMENSION)
    step = jax.jit(lambda state, batch, key: brc.update(config, facts, state, batch, jnp.ones(2), key)[0])
    for i in range(updates):
        state = step(state, both_tasks(i), jax.random.key(i))
    return state


@pytest.mark.parametrize("moving", MOVES)
def test_what_does_not_move_keeps_its_bits_and_the_rest_moves(moving):
    config = dataclasses.replace(BRC, moving=moving, adapter_rank=2 if moving == "adapters" else 0, weight_decay=0.1)
    before = brc.init(config, TASKS, jax.random.key(0))
    after = updated(config, before)
    for part in ("actor", "critic", "target_critic"):
        old, new = leaves(getattr(before, part)), leaves(getattr(after, part))
        assert old.keys() == new.keys()
        for name, array in old.items():
            moved = array.tobytes() != new[name].tobytes()
            assert moved == any(word in name for word in MOVES[moving]), f"{part}{name}"
    assert before.log_temperature != after.log_temperature


def test_what_keeps_still_takes_no_memory_in_the_optimiser():
    state = brc.init(dataclasses.replace(BRC, moving="embeddings"), TASKS, jax.random.key(0))
    table = state.critic.conditioning.table.size
    assert sum(x.size for x in jax.tree.leaves(state.critic_optimiser)) == 2 * table + 1  # two moments, one counter
    assert sum(x.size for x in jax.tree.leaves(state.actor_optimiser)) == 1


def test_a_head_of_each_task_moves_with_the_embeddings():
    config = dataclasses.replace(BRC, conditioning="multi-head", moving="embeddings")
    state = brc.init(config, TASKS, jax.random.key(0))
    names = [name for name, leaf in leaves(split(state.critic, "embeddings")[0]).items() if leaf is not None]
    assert names == [".members.head.dense.kernel", ".members.head.dense.bias"]


def test_adapters_begin_as_nothing_and_are_beside_every_dense_layer():
    critic = brc_case().state.critic
    more = adapted(critic, 3, key=jax.random.key(1))
    inputs = (jnp.ones((2, TASKS.observation_dim)), jnp.ones((2, TASKS.action_dim)), jnp.arange(2))
    np.testing.assert_array_equal(critic(*inputs), more(*inputs))
    dense = [name.removesuffix(".kernel") for name in leaves(critic) if name.endswith(".kernel")]
    assert dense
    assert [f"{name}.adapter.{leaf}" for name in dense for leaf in ("down", "up")] == [
        name for name in leaves(more) if "adapter" in name
    ]
    assert leaves(more).keys() > leaves(critic).keys()


@pytest.mark.parametrize("moving", ["all", *MOVES])
def test_the_parts_join_to_the_whole(moving):
    critic = adapted(brc_case().state.critic, 1, key=jax.random.key(1))
    joined = eqx.combine(*split(critic, moving))
    assert jax.tree.structure(joined) == jax.tree.structure(critic)
    for one, other in zip(jax.tree.leaves(joined), jax.tree.leaves(critic), strict=True):
        assert one is other


def test_adapters_without_a_rank_are_refused():
    with pytest.raises(ValueError, match=r"--agent\.adapter-rank 8"):
        dataclasses.replace(BRC, moving="adapters")
