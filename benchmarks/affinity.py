"""What measuring affinity costs: the time of a measurement against ten training steps, in one run.

    python benchmarks/affinity.py            # about two minutes on two cores
    python benchmarks/affinity.py --search   # instead: nodes and CPU seconds of exact groupings of 20 tasks

Cases: a trunk with ten heads on the same inputs (a backward pass for each task: the expensive case), in full and with
two of the ten tasks as sources at a time, in turn; and BRC's critic, where each task has a batch of its own. Steps and
measurements alternate, so that what else the machine does falls on both; medians over the pairs, and the quartiles of
the pairs' ratios.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from polytask import random
from polytask.affinity import averages, best_grouping, joint_gradients, lookahead, measure, separate_gradients
from polytask.agents import brc
from polytask.agents.base import Agent
from polytask.agents.config import BRCConfig
from polytask.replay.batch import Batch
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSet, TaskSpec

TASKS, EVERY = 10, 10


def supervised(width: int, batch: int) -> tuple[Callable, Callable, Callable]:
    """A training step, a whole measurement, and one of two sources, as functions of nothing."""
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(batch, width)).astype(np.float32))
    targets = jnp.asarray(rng.normal(size=(TASKS, batch)).astype(np.float32))
    params = (
        [jnp.asarray(rng.normal(size=(width, width)).astype(np.float32) / width**0.5) for _ in range(4)],
        jnp.asarray(rng.normal(size=(TASKS, width)).astype(np.float32) / width**0.5),
    )
    optimiser = optax.adam(1e-3)
    state = optimiser.init(params)
    shared = (True, False)

    def losses(p):
        hidden = inputs
        for kernel in p[0]:
            hidden = jax.nn.relu(hidden @ kernel)
        return jnp.square(p[1] @ hidden.T - targets).mean(axis=1)

    @jax.jit
    def step(p, s):
        gradient = jax.grad(lambda q: losses(q).sum())(p)
        updates, s = optimiser.update(gradient, s, p)
        return optax.apply_updates(p, updates), s

    @jax.jit
    def whole(p, s, running):
        gradients = joint_gradients(losses, p, shared)[1]
        return measure.observe(running, measure.measure(losses, p, gradients, optimiser, s, shared=shared))

    @jax.jit
    def some(p, s, running, sources):
        _, gradients = joint_gradients(losses, p, shared, sources)
        z = lookahead.transference(lookahead.effects(losses, p, gradients, optimiser, s, shared=shared))
        return averages.observe(running, jnp.full((TASKS, TASKS), jnp.nan).at[sources].set(z))

    return (
        partial(step, params, state),
        partial(whole, params, state, measure.init(TASKS)),
        partial(some, params, state, averages.init(TASKS, TASKS), jnp.array([0, 1])),
    )


def critic(width: int, batch: int) -> tuple[Callable, Callable]:
    """BRC's update for one environment step, and a measurement of its critic; so many samples of all tasks together."""
    box = Box((-1.0,) * 4, (1.0,) * 4)
    tasks = TaskSet(tuple(TaskSpec(f"gym/{i}", "gym", Vector(39), box, horizon=200) for i in range(TASKS)))
    config = BRCConfig(critic_width=width, batch_size=batch)
    agent = Agent(brc.METHOD, config, tasks)
    state = agent.init(random.key(0, "init"))
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Batch:
        f = partial(lambda *s: jnp.asarray(rng.normal(size=s).astype(np.float32)), *shape)
        ids = jnp.asarray(rng.integers(0, TASKS, shape))
        return Batch(f(39), jnp.tanh(f(4)), f(), jnp.ones(shape), f(39), ids)

    updates = draw(config.updates_per_step, batch)
    own = draw(TASKS, batch // TASKS)._replace(task_ids=jnp.tile(jnp.arange(TASKS)[:, None], (1, batch // TASKS)))
    bound, key = jnp.full(TASKS, 10.0), random.key(0, "update")
    step = jax.jit(partial(brc.update, config, agent.facts))
    optimiser = brc.make_optimisers(config).network

    @jax.jit
    def whole(s, running):
        noise = jax.random.normal(key, own.actions.shape)
        targets = jax.vmap(partial(brc.critic_target, config, agent.facts, s))(own, noise)

        def loss(model, datum):
            return brc.critic_loss(config, agent.facts, model, *datum)

        _, gradients = separate_gradients(loss, s.critic, (own, targets))

        def losses(model):
            return jax.vmap(loss, (None, 0))(model, (own, targets))

        found = measure.measure(losses, s.critic, gradients, optimiser, s.critic_optimiser)
        return measure.observe(running, found)

    return partial(step, state, updates, bound, key), partial(whole, state, measure.init(TASKS))


def searches() -> None:
    """Prints nodes and CPU seconds of best groupings of 20 tasks with independent normal affinities."""
    print(f"{'groups':>6} {'overlap':>8} {'budget':>7}{'nodes':>16}{'CPU seconds':>16}   over three matrices")
    for groups in (2, 5, 20):
        for overlap, budget in ((True, None), (False, None), (True, 26)):
            nodes, times = [], []
            for seed in range(3):
                matrix = np.random.default_rng(seed).normal(size=(20, 20))
                start = time.process_time()
                found = best_grouping(matrix, groups, overlap=overlap, budget=budget)
                times.append(time.process_time() - start)
                assert found.optimal
                nodes.append(found.nodes)
            spread = f"{min(nodes):,} to {max(nodes):,}"
            took = f"{min(times):.1f} to {max(times):.1f}"
            print(f"{groups:>6} {overlap!s:>8} {budget or '-':>7}{spread:>16}{took:>16}", flush=True)


def seconds(function: Callable) -> float:
    """The time of one call."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def main() -> None:
    """Prints one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--search", action="store_true")
    given = parser.parse_args()
    if given.search:
        searches()
        return
    train, full, part = supervised(given.width, given.batch)
    update, look = critic(given.width, given.batch)
    print(f"{TASKS} tasks, width {given.width}, batch {given.batch}, measured at every {EVERY}th step")
    print(f"{'':<44}{'step':>9}{'measure':>10}{'overhead':>10}  quartiles")
    for name, step, measured in (
        ("trunk and heads, all sources", train, full),
        ("trunk and heads, two sources in turn", train, part),
        ("BRC critic, all sources", update, look),
    ):
        seconds(step), seconds(measured)
        pairs = np.array(
            [[sum(seconds(step) for _ in range(EVERY)) / EVERY, seconds(measured)] for _ in range(given.pairs)]
        )
        low, middle, high = np.quantile(pairs[:, 1] / pairs[:, 0] / EVERY, [0.25, 0.5, 0.75])
        one, other = np.median(pairs, axis=0) * 1e3
        print(f"{name:<44}{one:>6.1f} ms{other:>7.1f} ms{middle:>10.0%}  {low:.0%} to {high:.0%}", flush=True)


if __name__ == "__main__":
    main()
