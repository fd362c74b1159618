"""What a combiner costs: the time of a step relative to unitary scalarization, ours, TorchJD's and LibMTL's, each
within its own framework, in one run.

    python benchmarks/combine.py --peer-python PYTHON_WITH_TORCHJD --libmtl CHECKOUT_OF_LIBMTL

The model is an MLP trunk with a linear regression head for each task. Settings:

- "parameters": all tasks on the same 512 rows, gradients combined by the trunk's parameters;
- "representation": the same, combined at the trunk's output (one backward pass through the trunk);
- "own rows": each task has its own 128 rows, as in PCGrad's experiments in reinforcement learning, gradients combined
  by the trunk's parameters.

A step is the combined gradient and one step of gradient descent. Steps of a method and of the plain sum alternate; the
ratio is the median over such pairs, with quartiles.
"""

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

from combine_model import DEPTH, INPUTS, ROWS, ROWS_EACH, WIDTH, paired

TASKS, PAIRS = (2, 10, 40), 15
SETTINGS = ("parameters", "representation", "own rows")
OPTIONS = {"dwa": {"period": 10}, "it_mtl": {"candidates": ("sum", "pcgrad"), "learning_rate": 0.01}}


def ours(
    setting: str, tasks: int, methods: list[str], engine: str, chunk: int | None, pairs: int, cpu_time: bool = False
) -> dict[str, dict]:
    """Every method's cost, by name."""
    import jax
    import jax.numpy as jnp

    from polytask.combine import PerTask, combined_gradient, make_combiner, representation_gradient

    keys = jax.random.split(jax.random.key(0), DEPTH + 3)
    widths = [INPUTS] + [WIDTH] * DEPTH
    trunk = [jax.random.normal(keys[i], widths[i : i + 2]) * (2 / widths[i]) ** 0.5 for i in range(DEPTH)]
    params = {"trunk": trunk, "heads": jax.random.normal(keys[-1], (tasks, WIDTH)) / WIDTH**0.5}
    rows = ROWS_EACH * tasks if setting == "own rows" else ROWS
    x, y = jax.random.normal(keys[-2], (rows, INPUTS)), jax.random.normal(keys[-3], (tasks, ROWS))
    shared = {"trunk": True, "heads": False}

    def represent(trunk, x=x):
        for kernel in trunk:
            x = jax.nn.relu(x @ kernel)
        return x

    def losses_fn(params):
        return jnp.square(params["heads"] @ represent(params["trunk"]).T - y).mean(axis=1), None

    def head_loss(params, task, target):
        heads, z = params
        return jnp.square(z @ heads[task] - target).mean(), None

    def task_loss(params, task, batch):
        return jnp.square(represent(params["trunk"], batch[0]) @ params["heads"][task] - batch[1]).mean(), None

    if setting == "own rows":
        losses_fn = PerTask(task_loss, (x.reshape(tasks, ROWS_EACH, -1), y[:, :ROWS_EACH]))

    def compiled(name: str):
        made = make_combiner(name, **OPTIONS.get(name, {}))
        by_trunk = setting == "representation" and name not in ("sum", "it_mtl")
        first = made.init(represent(trunk), tasks) if by_trunk else made.init(params, tasks, shared=shared)

        @jax.jit
        def step(params, state, key):
            if by_trunk:
                done = representation_gradient(
                    made, represent, PerTask(head_loss, y), params["trunk"], params["heads"], state, key=key
                )
                gradient = {"trunk": done.gradient[0], "heads": done.gradient[1]}
            else:
                chosen = engine if engine != "gramian" or hasattr(made.method, "needs") else "auto"
                done = combined_gradient(
                    made, losses_fn, params, state, key=key, shared=shared, engine=chosen, chunk=chunk
                )
                gradient = done.gradient
            return jax.tree.map(lambda p, g: p - 1e-6 * g, params, gradient), done.state

        ready = step.lower(params, first, keys[0]).compile()
        memory[name] = ready.memory_analysis().temp_size_in_bytes / 1e6
        state = {"now": (params, first)}

        def call():
            state["now"] = jax.block_until_ready(ready(*state["now"], keys[0]))

        return call

    memory: dict[str, float] = {}
    unitary = compiled("sum")
    return {name: paired(compiled(name), unitary, pairs, cpu_time) | {"mb": memory[name]} for name in methods}


def theirs(python: str, more: list[str], setting: str, tasks: int, methods: list[str], pairs: int) -> dict[str, dict]:
    """A peer's cost, by our names, measured by combine_peers.py in its own interpreter."""
    command = [python, str(Path(__file__).with_name("combine_peers.py")), "--setting", setting, "--tasks", str(tasks)]
    command += ["--pairs", str(pairs), "--methods", *methods, *more]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def engines(tasks: int, pairs: int, cpu_time: bool) -> None:
    """Time and memory of PCGrad by each engine; memory by XLA's account of temporary buffers."""
    for setting in ("parameters", "own rows"):
        print(f"\n{setting}, {tasks} tasks: pcgrad's time of a step / time of a unitary step, temporary memory")
        for engine, chunk in (("looped", None), ("vmapped", None), ("vmapped", 8), ("gramian", None), ("gramian", 8)):
            found = ours(setting, tasks, ["pcgrad"], engine, chunk, pairs, cpu_time)["pcgrad"]
            print(f"  {engine:8s} chunk {chunk!s:5s} {cell(found):22s} {found['mb']:.0f} MB", flush=True)


def cell(result: dict | None) -> str:
    """A ratio with its quartiles."""
    if result is None:
        return "-"
    return result.get("fault") or f"{result['ratio']:.2f} [{result['low']:.2f}, {result['high']:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="an interpreter that has torch and torchjd")
    parser.add_argument("--libmtl", help="a checkout of LibMTL, for the same interpreter")
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--methods", nargs="+", help="all, if not given")
    parser.add_argument("--engine", default="auto", help="auto, looped, vmapped or gramian; for ours")
    parser.add_argument("--chunk", type=int)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--engines", action="store_true", help="compare our engines instead of the methods")
    parser.add_argument("--cpu-time", action="store_true", help="one thread and its CPU time: for a busy machine")
    given = parser.parse_args()
    if given.cpu_time:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["OMP_NUM_THREADS"] = "1"
    if given.engines:
        for tasks in given.tasks:
            engines(tasks, given.pairs, given.cpu_time)
        return
    from polytask.combine import COMBINERS

    flags = ["--cpu-time"] if given.cpu_time else []
    peers = {"TorchJD": flags} if given.peer_python else {}
    if given.libmtl:
        peers["LibMTL"] = [*flags, "--libmtl", given.libmtl]
    methods = given.methods or [name for name in COMBINERS if name not in ("sum", "constant")]
    for setting in given.settings:
        for tasks in given.tasks:
            sides = {"polytask": ours(setting, tasks, methods, given.engine, given.chunk, given.pairs, given.cpu_time)}
            for name, more in peers.items():
                sides[name] = theirs(given.peer_python, more, setting, tasks, methods, given.pairs)
            print(f"\n{setting}, {tasks} tasks: time of a step / time of a unitary step, median [quartiles]")
            for name, side in sides.items():
                plain = [result["unitary_ms"] for result in side.values() if "ratio" in result]
                print(f"  unitary, {name}: {statistics.median(plain or [0.0]):.1f} ms")
            print("  " + " ".join(f"{title:22s}" for title in ("method", *sides)))
            for name in methods:
                cells = [cell(side.get(name)) for side in sides.values()]
                print("  " + " ".join(f"{text:22s}" for text in (name, *cells)), flush=True)


if __name__ == "__main__":
    main()
