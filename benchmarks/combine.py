"""What a combiner costs: the time of a step relative to unitary scalarization, ours and TorchJD's, each within its own
framework, in one run.

    python benchmarks/combine.py --peer-python PYTHON_WITH_TORCHJD

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
import sys
import time

TASKS, INPUTS, WIDTH, DEPTH, ROWS, ROWS_EACH, PAIRS = (2, 10, 40), 64, 512, 3, 512, 128, 15
CLOCK = time.perf_counter
SETTINGS = ("parameters", "representation", "own rows")
OPTIONS = {"dwa": {"period": 10}, "it_mtl": {"candidates": ("sum", "pcgrad"), "learning_rate": 0.01}}
# Our name -> TorchJD's class and its arguments. Scalarizers get the losses, the others the Jacobian or its Gramian.
PEERS = {
    "mean": ("Mean", {}), "rlw": ("Random", {}), "mgda": ("MGDA", {}), "pcgrad": ("PCGrad", {}),
    "gradvac": ("GradVac", {}), "graddrop": ("GradDrop", {}), "cagrad": ("CAGrad", {"c": 0.5}),
    "imtl_g": ("IMTLG", {}), "nash_mtl": ("NashMTL", {}), "fairgrad": ("FairGrad", {"alpha": 2.0}),
    "aligned": ("AlignedMTL", {}), "upgrad": ("UPGrad", {}), "dual_proj": ("DualProj", {}), "config": ("ConFIG", {}),
    "excess_mtl": ("ExcessMTL", {}),
}  # fmt: skip
SCALARIZERS = {
    "mean": ("Mean", {}), "rlw": ("Random", {}), "uw": ("UW", {}), "dwa": ("DWA", {}), "gls": ("GeometricMean", {}),
    "imtl_l": ("IMTLL", {}), "stch": ("STCH", {"mu": 1.0}), "famo": ("FAMO", {}),
}  # fmt: skip


def paired(step, unitary, pairs: int) -> dict[str, float]:
    """The ratio of the two functions' times over alternating calls, and the second's milliseconds."""
    for _ in range(2):
        step()
        unitary()
    ratios, plain = [], []
    for _ in range(pairs):
        start = CLOCK()
        step()
        middle = CLOCK()
        unitary()
        end = CLOCK()
        ratios.append((middle - start) / (end - middle))
        plain.append(1e3 * (end - middle))
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return {"ratio": ratio, "low": low, "high": high, "unitary_ms": statistics.median(plain)}


def ours(setting: str, tasks: int, methods: list[str], engine: str, chunk: int | None, pairs: int) -> dict[str, dict]:
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
    return {name: paired(compiled(name), unitary, pairs) | {"mb": memory[name]} for name in methods}


def theirs(setting: str, tasks: int, methods: list[str], pairs: int) -> dict[str, dict]:
    """TorchJD's cost, by our names; the cheaper of its two engines where both work."""
    import torch
    import torchjd.aggregation as aggregation
    import torchjd.scalarization as scalarization
    from torch import nn
    from torchjd.autogram import Engine
    from torchjd.autojac import jac_to_grad, mtl_backward

    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    layers = [
        layer for i in range(DEPTH) for layer in (nn.Linear(WIDTH if i else INPUTS, WIDTH, bias=False), nn.ReLU())
    ]
    trunk, heads = nn.Sequential(*layers), nn.ModuleList(nn.Linear(WIDTH, 1, bias=False) for _ in range(tasks))
    each = ROWS_EACH
    x, y = torch.randn(each * tasks if setting == "own rows" else ROWS, INPUTS), torch.randn(tasks, ROWS)
    parameters = [*trunk.parameters(), *heads.parameters()]
    optimiser = torch.optim.SGD(parameters, lr=1e-6)

    def losses(z):
        if setting == "own rows":
            parts = zip(heads, z.split(each), y[:, :each], strict=True)
            return [(head(part)[:, 0] - target).square().mean() for head, part, target in parts]
        return [(head(z)[:, 0] - target).square().mean() for head, target in zip(heads, y, strict=True)]

    def finish():
        optimiser.step()
        optimiser.zero_grad()

    def unitary():
        sum(losses(trunk(x))).backward()
        finish()

    def by_scalarizer(name):
        kind, options = SCALARIZERS[name]
        scalarizer = getattr(scalarization, kind)(*([tasks] if kind in ("UW", "IMTLL", "FAMO") else []), **options)

        def step():
            scalarizer(torch.stack(losses(trunk(x)))).backward()
            finish()

        return step

    def by_jacobian(name):
        kind, options = PEERS[name]
        if kind == "NashMTL":
            options = {"n_tasks": tasks}
        aggregator = getattr(aggregation, kind)(**options)

        def step():
            z = trunk(x)
            if setting == "representation":
                leaf = z.detach().requires_grad_()
                mtl_backward(losses(leaf), features=[leaf * 1], shared_params=[leaf])
                jac_to_grad([leaf], aggregator)
                z.backward(leaf.grad)
            else:
                mtl_backward(losses(z), features=z)
                jac_to_grad(trunk.parameters(), aggregator)
            finish()

        return step

    def by_gramian(name):
        kind, options = PEERS[name]
        weighting, engine = getattr(aggregation, f"{kind}Weighting")(**options), Engine(trunk, batch_dim=None)

        def step():
            each = torch.stack(losses(trunk(x)))
            weights = weighting(engine.compute_gramian(each))
            each.backward(weights)
            finish()

        return step

    found = {}
    for name in methods:
        ways = []
        if name in SCALARIZERS:
            ways.append(by_scalarizer)
        elif name in PEERS:
            ways.append(by_jacobian)
            if hasattr(aggregation, f"{PEERS[name][0]}Weighting") and setting != "representation":
                ways.append(by_gramian)
        results, faults = [], []
        for way in ways:
            try:
                results.append(paired(way(name), unitary, pairs) | {"way": way.__name__})
            except Exception as fault:  # What does not run is reported, and the rest goes on.
                faults.append(f"{way.__name__}: {type(fault).__name__}: {fault}".splitlines()[0])
        if results:
            found[name] = min(results, key=lambda result: result["ratio"])
        elif faults:
            found[name] = {"fault": "; ".join(faults)}
    return found


def engines(tasks: int, pairs: int) -> None:
    """Time and memory of PCGrad by each engine; memory by XLA's account of temporary buffers."""
    for setting in ("parameters", "own rows"):
        print(f"\n{setting}, {tasks} tasks: pcgrad's time of a step / time of a unitary step, temporary memory")
        for engine, chunk in (("looped", None), ("vmapped", None), ("vmapped", 8), ("gramian", None), ("gramian", 8)):
            found = ours(setting, tasks, ["pcgrad"], engine, chunk, pairs)["pcgrad"]
            print(f"  {engine:8s} chunk {chunk!s:5s} {cell(found):22s} {found['mb']:.0f} MB", flush=True)


def cell(result: dict | None) -> str:
    """A ratio with its quartiles."""
    if result is None:
        return "-"
    return result.get("fault") or f"{result['ratio']:.2f} [{result['low']:.2f}, {result['high']:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="an interpreter that has torch and torchjd")
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--methods", nargs="+", help="all, if not given")
    parser.add_argument("--engine", default="auto", help="auto, looped, vmapped or gramian; for ours")
    parser.add_argument("--chunk", type=int)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--engines", action="store_true", help="compare our engines instead of the methods")
    parser.add_argument("--cpu-time", action="store_true", help="one thread and its CPU time: for a busy machine")
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cpu_time:
        global CLOCK
        CLOCK = time.process_time
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["OMP_NUM_THREADS"] = "1"
    if given.as_peer:
        print(json.dumps(theirs(given.settings[0], given.tasks[0], given.methods, given.pairs)))
        return
    if given.engines:
        for tasks in given.tasks:
            engines(tasks, given.pairs)
        return
    from polytask.combine import COMBINERS

    methods = given.methods or [name for name in COMBINERS if name not in ("sum", "constant")]
    for setting in given.settings:
        for tasks in given.tasks:
            mine = ours(setting, tasks, methods, given.engine, given.chunk, given.pairs)
            peers = {}
            if given.peer_python:
                command = [given.peer_python, __file__, "--as-peer", "--settings", setting, "--tasks", str(tasks)]
                command += ["--pairs", str(given.pairs), "--methods", *methods]
                command += ["--cpu-time"] if given.cpu_time else []
                peers = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            plain = [
                statistics.median([r["unitary_ms"] for r in side.values() if "ratio" in r] or [0.0])
                for side in (mine, peers)
            ]
            print(f"\n{setting}, {tasks} tasks: time of a step / time of a unitary step, median [quartiles]")
            print(f"  unitary: {plain[0]:.1f} ms ours, {plain[1]:.1f} ms theirs")
            print(f"  {'method':12s} {'polytask':22s} TorchJD")
            for name in methods:
                print(f"  {name:12s} {cell(mine[name]):22s} {cell(peers.get(name))}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
