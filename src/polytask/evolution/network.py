"""The network that paths describe, and the training of a generation's children as one program."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from polytask import random
from polytask.evolution.population import ADAPTERS, BLOCKS, SLOTS
from polytask.networks import LayerNorm
from polytask.supervised.model import Linear, evaluate, task_losses
from polytask.supervised.problem import Problem

MOMENTUM, CLIP = 0.9, 1.0
VALIDATIONS = 4  # of a child while it is trained; the best counts


class Block(eqx.Module):
    """x + down(relu(up(norm(x)))): begins close to the identity."""

    norm: LayerNorm
    up: Linear
    down: Linear

    def __init__(self, width: int, *, key: PRNGKeyArray) -> None:
        first, second = jax.random.split(key)
        self.norm = LayerNorm(width)
        self.up = Linear(width, width, 2.0, key=first)
        self.down = Linear(width, width, 0.1, key=second)

    def __call__(self, x: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
        return x + self.down(jax.nn.relu(self.up(self.norm(x))))


class Adapter(eqx.Module):
    """x + up(relu(down(x))) through `rank` units: begins as the identity."""

    down: Linear
    up: Linear

    def __init__(self, width: int, rank: int, *, key: PRNGKeyArray) -> None:
        self.down = Linear(width, rank, 2.0, key=key)
        self.up = Linear(rank, width, 0.0, key=key)

    def __call__(self, x: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
        return x + self.up(jax.nn.relu(self.down(x)))


class Network(eqx.Module):
    """Every slot's component; `used` has a 1 for those of the path, and a 0 for those that stand in an empty slot."""

    parts: dict[str, Any]
    used: dict[str, Any]

    def __call__(self, inputs: Float[Array, "rows ..."]) -> Float[Array, "rows outputs"]:
        x = jax.nn.relu(self.parts["stem"](inputs.reshape(len(inputs), -1)))
        for pair in zip(BLOCKS, ADAPTERS, strict=True):
            for slot in pair:
                x = jnp.where(self.used[slot] > 0, self.parts[slot](x), x)
        return self.parts["head"](self.parts["norm"](x))


class Sizes(NamedTuple):
    """Numbers in a row of inputs, units of a layer and of an adapter."""

    inputs: int
    width: int
    rank: int


def fresh(slot: str, sizes: Sizes, outputs: int, key: PRNGKeyArray) -> PyTree:
    """Parameters for a slot."""
    if slot == "stem":
        return Linear(sizes.inputs, sizes.width, 2.0, key=key)
    if slot in BLOCKS:
        return Block(sizes.width, key=key)
    if slot in ADAPTERS:
        return Adapter(sizes.width, sizes.rank, key=key)
    return LayerNorm(sizes.width) if slot == "norm" else Linear(sizes.width, outputs, 1.0, key=key)


def form(slot: str, sizes: Sizes, outputs: int) -> PyTree:
    """The shapes of `fresh`."""
    return jax.eval_shape(lambda key: fresh(slot, sizes, outputs, key), random.key(0, "form"))


def network(parts: Mapping[str, PyTree], sizes: Sizes, outputs: int) -> Network:
    """The network of some slots' parameters; what stands in the others is zero and not used."""
    forms = {slot: form(slot, sizes, outputs) for slot in SLOTS}
    empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), forms)
    return Network({**empty, **parts}, {slot: np.float32(slot in parts) for slot in SLOTS})


class Children(NamedTuple):
    """A generation to be trained; every leaf has a leading axis of children. `trained` has a 1 for what may move."""

    networks: Network
    trained: dict[str, Any]
    learning_rate: Any
    noise: Any


@eqx.filter_jit
def train(
    problem: Problem, children: Children, keys: Array, steps: int, batch: int
) -> tuple[dict[str, PyTree], Float[Array, " children"]]:
    """Each child's parameters at the best of `VALIDATIONS` looks at the validation rows, and its quality there.

    Gradient descent with momentum on the sum of the heads' losses, for `steps` steps of `batch` rows; what is not
    trained keeps its bits. Quality is the mean score of the heads, at least 0. Where parameters are not finite at every
    look, the child is as it began, with quality 0.
    """
    return jax.vmap(lambda child, key: _train(problem, child, key, steps, batch))(children, keys)


def _train(problem: Problem, child: Children, key: Array, steps: int, batch: int) -> tuple[Any, Array]:
    optimiser = optax.chain(optax.clip_by_global_norm(CLIP), optax.trace(MOMENTUM))
    rows, used = problem.train.inputs.shape[0], child.networks.used

    def loss(parts: dict[str, PyTree], batch_key: Array) -> Array:
        first, second = jax.random.split(batch_key)
        taken = problem.train.take(jax.random.randint(first, (batch,), 0, rows))
        noise = child.noise * jax.random.normal(second, taken.inputs.shape)
        return task_losses(problem.tasks, Network(parts, used)(taken.inputs + noise), taken).sum()

    def step(carry: tuple[Any, Any], batch_key: Array) -> tuple[tuple[Any, Any], None]:
        parts, state = carry
        gradient = jax.grad(loss)(parts, batch_key)
        masked = {slot: jax.tree.map(lambda g, slot=slot: g * child.trained[slot], gradient[slot]) for slot in SLOTS}
        updates, state = optimiser.update(masked, state)
        # Where nothing moves the update is 0, and x - 0 has the bits of x.
        return (jax.tree.map(lambda p, u: p - child.learning_rate * u, parts, updates), state), None

    def look(carry: Any, look_keys: Array) -> tuple[Any, None]:
        parts, state, best, value = carry
        (parts, state), _ = jax.lax.scan(step, (parts, state), look_keys)
        found = evaluate(problem.tasks, Network(parts, used), problem.validation).score
        quality = jnp.maximum(jnp.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0).mean(), 0.0)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(parts)]).all()
        better = finite & (quality > value)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), parts, best)
        return (parts, state, best, jnp.where(better, quality, value)), None

    parts = child.networks.parts
    state = optimiser.init(cast(optax.Params, parts))
    keys = jax.random.split(key, (VALIDATIONS, max(1, steps // VALIDATIONS)))
    (_, _, best, value), _ = jax.lax.scan(look, (parts, state, parts, jnp.float32(-1.0)), keys)
    return best, jnp.maximum(value, 0.0)
