"""How long a policy takes to act in its exported forms, and how far their actions are from the agent's.

    python benchmarks/acting.py RUN

Prints, for one observation at a time, the microseconds of a call of `polytask.load(RUN).act`, of the agent's compiled
function, and of each format of `polytask export`, in the fastest of many short blocks, which other work on the machine
does not reach; and the largest difference of the actions on 1,000 random observations. ONNX is left out where `pip
install 'polytask[export]'` has not been run.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from polytask.export import export
from polytask.export.numpy_policy import Policy as NumpyPolicy
from polytask.policies.policy import load

CALLS, BLOCKS = 10, 300


def microseconds(call: Callable[[], Any]) -> float:
    """The mean time of a call in the fastest block."""
    call()
    times = []
    for _ in range(BLOCKS):
        begin = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - begin) / CALLS)
    return 1e6 * min(times)


def main(run: Path) -> int:
    policy = load(run)
    if policy.tasks.images:
        print("this benchmark is of vectors", file=sys.stderr)
        return 2
    rng = np.random.default_rng(0)
    ids = rng.integers(len(policy.tasks), size=1000).astype(np.int32)
    seen = rng.normal(size=(1000, policy.tasks.observation_dim)).astype(np.float32)
    theirs = np.asarray(policy.agent.act(policy.state, seen, ids, None))
    one, first, spec = seen[:1], ids[:1], policy.tasks.specs[0]
    own = seen[0, : spec.observation_dim]
    acts: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "agent.act": lambda x, i: np.asarray(policy.agent.act(policy.state, x, i, None))
    }
    with tempfile.TemporaryDirectory() as folder:
        acts["numpy"] = NumpyPolicy(export(run, "numpy", Path(folder) / "numpy")).rows
        file = export(run, "stablehlo", Path(folder) / "stablehlo") / "policy.jax_export"
        exported = jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)
        acts["stablehlo"] = lambda x, i: np.asarray(exported(x, i))
        try:
            import onnxruntime

            file = export(run, "onnx", Path(folder) / "onnx") / "policy.onnx"
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            acts["onnx"] = lambda x, i: session.run(None, {"observations": x, "task_ids": i})[0]
        except ImportError as error:
            print(f"onnx: {error}", file=sys.stderr)
        print(f"{'polytask.load(RUN).act':24} {microseconds(lambda: policy.act(own, spec.name)):8.1f} µs")
        for name, act in acts.items():
            apart = np.abs(act(seen, ids) - theirs).max()
            print(f"{name:24} {microseconds(lambda act=act: act(one, first)):8.1f} µs   {apart:.1e} apart")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
