"""Trunks for many tasks: parameters and the cost of an update, in the sizes of MT10. A table for docs/networks.md.

    XLA_FLAGS=--xla_cpu_multi_thread_eigen=false taskset -c 0 python benchmarks/networks.py    # about five minutes
    ... python benchmarks/networks.py --agent brc --batch 256

Each row is a trunk of an agent's actor and critics: observation 39, action 4, 10 tasks. "update" is one gradient step
of SAC, or of BRC with its categorical critics: the median over rounds, where every network has its turn, and the median
ratio to the plain network of the same round, with the lowest and highest. It is CPU time, so that what else runs on the
core counts little. "compile" is the first call, with its two steps.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from common import facts, save

from polytask.agents.config import BRCConfig, SACConfig
from polytask.agents.factory import make_agent
from polytask.machine import keep_freed_memory
from polytask.speed import TASKS, update_call
from polytask.tasks import TaskSet, resolve

PLAIN = "mlp, 3 x 400"
NETWORKS: dict[str, tuple[str, str, int, int]] = {  # trunk, conditioning, width, depth
    PLAIN: ("mlp", "one-hot", 400, 3),
    "mlp, a head a task": ("mlp", "multi-head", 400, 3),
    "mlp, a head a task, at soft modules' size": ("mlp", "one-hot-multi-head", 550, 3),
    "film, 3 x 400": ("film", "one-hot", 400, 3),
    "care": ("care", "one-hot", 400, 3),
    "soft-modules, shallow": ("soft-modules", "one-hot", 256, 2),
    "soft-modules, deep": ("soft-modules:modules=4", "one-hot", 128, 4),
    "mixture-of-experts, a head a task": ("mixture-of-experts", "one-hot-multi-head", 400, 3),
    "paco": ("paco", "one-hot", 400, 3),
}


def configured(agent: str, network: str, batch: int) -> SACConfig | BRCConfig:
    """An agent with that network for actor and critics."""
    trunk, conditioning, width, depth = NETWORKS[network]
    common: dict[str, Any] = {"trunk": trunk, "conditioning": conditioning, "batch_size": batch}
    if agent == "sac":
        return SACConfig(width=width, depth=depth, **common)
    sizes = {"critic_width": width, "critic_depth": depth, "actor_width": width, "actor_depth": depth}
    return BRCConfig(**common, **sizes)


def parameters(config: SACConfig | BRCConfig, tasks: TaskSet) -> dict[str, int]:
    """Of the actor and of one critic."""
    agent = make_agent(config, tasks)
    state = eqx.filter_eval_shape(lambda: agent._algorithm.init(config, tasks, jax.random.key(0)))

    def count(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree) if hasattr(leaf, "size"))

    return {"actor": count(state.actor), "critic": count(state.critic.members) // state.critic.size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", choices=("sac", "brc"), default="sac")
    parser.add_argument("--batch", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    given = parser.parse_args()
    keep_freed_memory()
    tasks, rows, calls = resolve([TASKS]), {}, {}
    for name in NETWORKS:
        config = configured(given.agent, name, given.batch)
        calls[name] = update_call(config, tasks)
        first = seconds(calls[name])
        rows[name] = {**parameters(config, tasks), "compile": first, "updates": config.updates_per_step, "ms": []}
    names = list(NETWORKS)
    for _ in range(given.rounds):
        for name in names:
            rows[name]["ms"].append(1e3 * seconds(calls[name]) / rows[name]["updates"])
        names.reverse()
    print("| network | actor | critic | compile, s | update, ms | of the plain one |\n|---|---|---|---|---|---|")
    for name, row in rows.items():
        ratios = [own / plain for own, plain in zip(row["ms"], rows[PLAIN]["ms"], strict=True)]
        sizes = f"{row['actor']:,} | {row['critic']:,} | {row['compile']:.1f}"
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {sizes} | {statistics.median(row['ms']):.0f} | {spread} |")
    save(given.output, {**facts(), "cores used": len(os.sched_getaffinity(0)), "networks": rows})


def seconds(function: Any) -> float:
    """CPU seconds until what a call gives is there."""
    start = time.process_time()
    jax.block_until_ready(function())
    return time.process_time() - start


if __name__ == "__main__":
    main()
