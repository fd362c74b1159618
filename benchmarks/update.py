"""One gradient step of BRC, ours beside the official code, in alternating pairs within one process.

    git clone https://github.com/naumix/BiggerRegularizedCategorical official
    pip install -e . flax distrax
    python benchmarks/update.py --official official

Without --official only ours is timed. Sizes are those of MT10: observation 39, action 4, 10 tasks, 101 bins, 2 critics;
each call makes two gradient steps, as a training does. "of peak" counts the networks' own multiplications against the
fastest of several float32 matrix products of this very process.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from polytask.agents.config import BRCConfig
from polytask.agents.factory import make_agent
from polytask.replay.batch import Batch
from polytask.tasks.spec import TaskSet, TaskSpec

OBSERVATION, ACTION, TASKS, UPDATES = 39, 4, 10, 2


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def matmul_peak() -> float:
    """The best of many float32 products of several sizes, in GFLOP/s."""
    multiply = jax.jit(lambda a, b: a @ b)
    best = 0.0
    for size, repeats in ((512, 40), (1024, 20), (2048, 6)):
        a = jnp.ones((size, size))
        best = max(best, *(2e-9 * size**3 / seconds(lambda a=a: multiply(a, a)) for _ in range(repeats)))
    return best


def multiplications(config: BRCConfig) -> float:
    """GFLOP of the networks' matrix products in one gradient step.

    A pass forwards counts 1; a pass backwards 1 for the inputs' gradient and 1 for the kernels'; the first layer's
    inputs have none where nothing before it learns.
    """
    width, embedding = config.critic_width, config.embedding_dim

    def forward(inputs: int, width: int, depth: int, outputs: int) -> tuple[int, int]:
        first = inputs * width
        return first, first + 2 * depth * width**2 + width * outputs

    _, critic = forward(OBSERVATION + ACTION + embedding, width, config.critic_depth, config.bins)
    actor_first, actor = forward(OBSERVATION + embedding, config.actor_width, config.actor_depth, 2 * ACTION)
    critics = config.ensemble * critic
    # target 1, critic 3 (the embedding learns), through the critic 2; actor 1 at the next state, then 3 less one
    products = critics * (1 + 3 + 2) + actor * (1 + 3) - actor_first
    return 2e-9 * config.batch_size * products


def batches(config: BRCConfig) -> Batch:
    random = np.random.default_rng(0)
    shape = (UPDATES, config.batch_size)
    normal = lambda size: random.normal(size=(*shape, size)).astype(np.float32)  # noqa: E731
    return jax.tree.map(
        jnp.asarray,
        Batch(
            observations=normal(OBSERVATION),
            actions=np.tanh(normal(ACTION)),
            rewards=normal(1)[..., 0],
            continues=np.ones(shape, np.float32),
            next_observations=normal(OBSERVATION),
            task_ids=random.integers(0, TASKS, shape).astype(np.int32),
        ),
    )


def ours(config: BRCConfig) -> Callable[[], Any]:
    bound = (1.0,) * ACTION
    specs = tuple(TaskSpec(f"gym/{i}", "gym", OBSERVATION, tuple(-b for b in bound), bound, 200) for i in range(TASKS))
    agent = make_agent(config, TaskSet(specs))
    state, data = agent.init(jax.random.key(0)), batches(config)
    largest, key = jnp.full(TASKS, 10.0), jax.random.key(1)

    def call() -> Any:
        nonlocal state
        state, metrics = agent.update(state, data, largest, key)
        return state, metrics

    return call


def official(config: BRCConfig) -> Callable[[], Any]:
    from jaxrl.agent.brc_learner import BRC
    from jaxrl.utils import Batch as OfficialBatch

    data = batches(config)
    data = OfficialBatch(
        data.observations, data.actions, data.rewards, data.continues, data.next_observations, data.task_ids
    )
    with jax.disable_jit():  # its jitted orthogonal initialisers wait for each other for ever at width 512 and above
        agent = BRC(
            0,
            np.zeros((1, OBSERVATION), np.float32),
            np.zeros((1, ACTION), np.float32),
            TASKS,
            updates_per_step=UPDATES,
            width_critic=config.critic_width,
        )

    def call() -> Any:
        info = agent.update(data, UPDATES, 0)
        return agent.critic.params, agent.actor.params, info

    return call


def measure(config: BRCConfig, peer: bool, budget: float) -> dict[str, Any]:
    """Milliseconds per gradient step, in pairs, for about `budget` seconds."""
    calls = {"ours": ours(config), **({"official": official(config)} if peer else {})}
    for call in calls.values():
        seconds(call), seconds(call)
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + budget
    while len(times["ours"]) < 5 or time.perf_counter() < end:
        for name, call in calls.items():
            times[name].append(1e3 * seconds(call) / UPDATES)
    row: dict[str, Any] = {"width": config.critic_width, "batch": config.batch_size, "pairs": len(times["ours"])}
    for name, values in times.items():
        row[name] = {"median": statistics.median(values), "min": min(values)}
    row["gflop"] = multiplications(config)
    if peer:
        ratios = [theirs / mine for mine, theirs in zip(times["ours"], times["official"], strict=True)]
        row["ratio"] = {"median": statistics.median(ratios), "of_minima": min(times["official"]) / min(times["ours"])}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="a checkout of the official code")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each size")
    parser.add_argument("--output", type=Path, help="appends a line of JSON for each size")
    given = parser.parse_args()
    if given.official:
        sys.path.insert(0, str(given.official))
    peak = matmul_peak()
    print(f"peak {peak:.0f} GFLOP/s")
    print(f"{'width':>6}{'batch':>6}{'ours ms':>16}{'official ms':>16}{'ratio':>14}{'of peak':>9}")
    for width, batch in itertools.product(given.widths, given.batches):
        row = measure(
            BRCConfig(critic_width=width, batch_size=batch, updates_per_step=UPDATES),
            given.official is not None,
            given.seconds,
        )
        peak = max(peak, matmul_peak())
        row["of_peak"] = row["gflop"] / row["ours"]["min"] * 1e3 / peak
        show = lambda name, row=row: f"{row[name]['median']:.1f} ({row[name]['min']:.1f})" if name in row else "-"  # noqa: E731
        ratio = f"{row['ratio']['median']:.2f} ({row['ratio']['of_minima']:.2f})" if "ratio" in row else "-"
        print(
            f"{width:>6}{batch:>6}{show('ours'):>16}{show('official'):>16}{ratio:>14}{row['of_peak']:>9.0%}", flush=True
        )
        if given.output:
            with given.output.open("a") as file:
                file.write(json.dumps({**row, "peak": peak}) + "\n")


if __name__ == "__main__":
    main()
