"""Jobs to machines: two policies learn in turn, by the schedule by which fleets of vehicles are trained.

Machines are of unequal speed. The upper policy gives jobs to them, the lower one orders what each was given, and the
weighted sum of the times at which jobs are done is to be low. Run it: python jobs_to_machines.py
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from polytask.fleets.bilevel import BilevelScheduler, Turn
from polytask.fleets.learning import advantages, reinforce
from polytask.losses import optimiser_step

JOBS, SAMPLES = 12, 16
SLOWNESS = jnp.array([1.0, 1.5, 2.5])
MACHINES = len(SLOWNESS)
ADAM = optax.adam(3e-3)
Pair = dict[str, eqx.nn.MLP]  # upper and lower: each scores a job on a machine


def draw(key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Weights (count, jobs), and times (count, jobs, machines)."""
    weights, sizes = jax.random.uniform(key, (2, count, JOBS), minval=0.1)
    return weights, sizes[..., None] * SLOWNESS[None, None]


def scores(policy: eqx.nn.MLP, weights: jax.Array, times: jax.Array) -> jax.Array:
    """Of each job on each machine: (count, jobs, machines)."""
    fastest = times.min(axis=-1, keepdims=True)
    features = jnp.stack(jnp.broadcast_arrays(weights[..., None], times, fastest), axis=-1)
    return jax.vmap(policy)(features.reshape(-1, 3)).reshape(times.shape)


def cost(weights: jax.Array, times: jax.Array, machine: jax.Array, order: jax.Array) -> jax.Array:
    """The weighted sum of completion times; the jobs' machines and their order are (count, samples, jobs)."""
    own = jax.nn.one_hot(machine, MACHINES)
    own, spent = (jnp.take_along_axis(x, order[..., None], axis=2) for x in (own, own * times[:, None]))
    done = (jnp.cumsum(spent, axis=2) * own).sum(axis=-1)
    return (jnp.take_along_axis(jnp.broadcast_to(weights[:, None], done.shape), order, axis=-1) * done).sum(axis=-1)


def on_machine(score: jax.Array, machine: jax.Array) -> jax.Array:
    """The scores of jobs where they are done: (count, samples, jobs)."""
    return (score[:, None] * jax.nn.one_hot(machine, MACHINES)).sum(axis=-1)


@eqx.filter_jit
def step(pair: Pair, state: Any, turn: Turn, key: jax.Array) -> tuple[Pair, Any]:
    """One step of the policy whose turn it is, by REINFORCE against the mean of an instance's samples."""
    keys, shape = jax.random.split(key, 3), (32, SAMPLES, JOBS)
    weights, times = draw(keys[0], shape[0])

    def loss(policy: eqx.nn.MLP) -> jax.Array:
        upper, lower = (policy, pair["lower"]) if turn.level == "upper" else (pair["upper"], policy)
        give = scores(upper, weights, times)[:, None] if turn.given else jnp.zeros((shape[0], 1, JOBS, MACHINES))
        drawn = (shape[0], SAMPLES if turn.level == "upper" else 1, JOBS)  # the lower policy's samples share one
        machine = jnp.broadcast_to(jax.random.categorical(keys[1], give, shape=drawn), shape)
        early = on_machine(scores(lower, weights, times), machine)
        if turn.level == "upper":
            order = jnp.argsort(-early)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(give), machine[..., None], axis=-1)[..., 0]
        else:  # Plackett-Luce: by noisy scores
            order = jnp.argsort(-early - jax.random.gumbel(keys[2], shape))
            sorted_scores = jnp.take_along_axis(early, order, axis=-1)
            chosen = sorted_scores - jax.lax.cumlogsumexp(sorted_scores, axis=2, reverse=True)
        return reinforce(chosen.sum(axis=-1), advantages(-cost(weights, times, machine, order), None))

    arrays, static = eqx.partition(pair[turn.level], eqx.is_array)
    gradient = eqx.filter_grad(loss)(pair[turn.level])
    arrays, moments = optimiser_step(ADAM, arrays, gradient, state[turn.level])
    return {**pair, turn.level: eqx.combine(arrays, static)}, {**state, turn.level: moments}


def main(steps: int = 1_000) -> None:
    """Trains both; compares the best of 16 draws, with machines at random and with Smith's rule, weight over time."""
    keys = jax.random.split(jax.random.key(0), 3)
    pair = {name: eqx.nn.MLP(3, "scalar", 32, 2, key=key) for name, key in zip(("upper", "lower"), keys, strict=False)}
    state = {name: ADAM.init(eqx.filter(policy, eqx.is_array)) for name, policy in pair.items()}
    schedule = BilevelScheduler(pretrain=steps // 5, intensive=steps // 5, round=10, times=MACHINES)
    weights, times = draw(keys[2], 500)
    for i in range(steps):
        pair, state = step(pair, state, schedule.turn(i), jax.random.fold_in(keys[2], i))
    smith, learned = weights[..., None] / times, scores(pair["upper"], weights, times)
    for name, give, early in (
        ("fastest machine, Smith's rule", -1e9 * times, smith),
        ("any machine, Smith's rule", jnp.zeros_like(times), smith),
        ("learned machine, Smith's rule", learned, smith),
        ("learned machine, learned order", learned, scores(pair["lower"], weights, times)),
    ):
        machine = jax.random.categorical(keys[0], give[:, None], shape=(len(give), SAMPLES, JOBS))
        each = cost(weights, times, machine, jnp.argsort(-on_machine(early, machine)))
        print(f"{name:32} {float(each.min(axis=1).mean()):.2f}")


if __name__ == "__main__":
    main()
