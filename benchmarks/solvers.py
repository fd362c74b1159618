"""Time per solve and worst certificate of the methods that solve a problem, for 2 to 64 tasks on a CPU.

    python benchmarks/solvers.py [--methods mgda upgrad] [--tasks 2 10 64] [--json FILE]

Times are the fastest of some calls, then the median over Jacobians; "x matmul" is the time in units of a 256 x 256
float32 matrix product measured alike in the same rounds. Certificates are info["residual"] and, for
conflicts, the largest -<g_i, d> / (|g_i| sum_j |w_j| |g_j|) in float64, over random, aligned, badly scaled (1e8),
duplicate, rank-deficient, conflicting and Pareto-stationary gradients.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from polytask.combine import make_combiner
from polytask.combine.base import Inputs, Weighting

METHODS = ("mgda", "dual_proj", "upgrad", "cagrad", "nash_mtl", "fairgrad", "imtl_g", "config", "aligned", "sdmgrad")
ROUNDS = 20


def jacobians(tasks: int) -> dict[str, np.ndarray]:
    """Gradients of every difficulty, float64."""
    rng = np.random.default_rng(tasks)
    random = rng.normal(size=(tasks, 3 * tasks))
    centred = random - random.mean(axis=0)
    return {
        "random": random,
        "aligned": random + 2 * rng.normal(size=3 * tasks),
        "scaled": random * np.logspace(-4, 4, tasks)[rng.permutation(tasks), None],
        "duplicates": random[np.arange(tasks) // 2],
        "rank-deficient": rng.normal(size=(tasks, tasks // 3 + 1)) @ rng.normal(size=(tasks // 3 + 1, 3 * tasks)),
        "conflicting": centred + 0.05 * random.mean(axis=0),
        "stationary": centred,
    }


def seconds(call, *arguments) -> float:
    """Of one call that has been compiled."""
    start = time.perf_counter()
    jax.block_until_ready(call(*arguments))
    return time.perf_counter() - start


def conflict(jacobian: np.ndarray, weights: np.ndarray) -> float:
    """Relative to what rounding can do."""
    norms = np.linalg.norm(jacobian, axis=1)
    bound = norms * (np.abs(weights) @ norms)
    return float(np.max(-(jacobian @ (weights @ jacobian)) / np.where(bound == 0, 1.0, bound)))


def measure(name: str, tasks: int) -> dict[str, float]:
    """One row of the table."""
    method = make_combiner(name, scale="paper").method
    assert isinstance(method, Weighting)
    solve = jax.jit(lambda inputs: method.weigh(inputs, method.init(tasks))[::2])
    square = jnp.ones((256, 256))
    product = jax.jit(lambda x: x @ x)
    jax.block_until_ready(product(square))
    times, units, residuals, conflicts = [], [], [], []
    for jacobian in jacobians(tasks).values():
        gramian = jacobian @ jacobian.T
        inputs = Inputs(
            jnp.asarray(gramian / gramian.diagonal().max(), jnp.float32),
            jnp.ones(tasks),
            jnp.ones(tasks, bool),
            jax.random.key(0),
        )
        weights, info = jax.block_until_ready(solve(inputs))
        residuals.append(float(info["residual"]))
        conflicts.append(conflict(jacobian, np.asarray(weights, np.float64)))
        rounds = [(seconds(solve, inputs), seconds(product, square)) for _ in range(ROUNDS)]
        times.append(min(r[0] for r in rounds))
        units.append(min(r[1] for r in rounds))
    return {
        "microseconds": 1e6 * median(times),
        "matmuls": median(times) / median(units),
        "residual": max(residuals),
        "conflict": max(conflicts),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Time per solve and worst certificate.")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--tasks", nargs="+", type=int, default=(2, 5, 10, 20, 40, 64))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = {}
    print(f"{'method':10s} {'tasks':>5s} {'us':>9s} {'x matmul':>9s} {'residual':>9s} {'conflict':>9s}")
    for name in arguments.methods:
        for tasks in arguments.tasks:
            row = rows[f"{name}/{tasks}"] = measure(name, tasks)
            print(
                f"{name:10s} {tasks:5d} {row['microseconds']:9.0f} {row['matmuls']:9.2f} "
                f"{row['residual']:9.1e} {row['conflict']:9.1e}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
