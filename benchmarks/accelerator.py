"""What an accelerator makes of polytask, in at most eight minutes: the most informative figures first.

    pip install -e . 'jax[cuda13]'                         # or cuda12, as the driver wants it
    python benchmarks/accelerator.py                       # on the machine with the GPU
    python benchmarks/accelerator.py --quick               # small sizes: a minute on a CPU, to see that it works

1. The device's fastest large matrix product in each precision: float32 and tf32 by `jax.default_matmul_precision`,
   bfloat16 by the arrays' type. "of peak" below is relative to the one of the same precision.
2. A gradient step of BRC at MT10's sizes by critic width, batch and precision; in bfloat16 the agent's whole state is
   cast. Calls of two steps each are sent off one after another and waited for at the end of a block, as a training
   does. Floating-point operations are counted by formula (`polytask.speed.multiplications`: the networks' own products,
   nothing else). "Compile" is from the traced function to the program, without any cache.
3. The loop of `polytask train metaworld/mt10` in JAX's own precision (tf32 on a GPU that has it), with the share of the
   wall time that its main thread spends on simulators, on the update (started, or waited for) and on drawing batches.
4. Several seeds as one program, again in JAX's own precision.

What would not end in time any more, judged by the longest of its kind so far, is left out and named, and so is what
fails, by lack of memory for instance. On a CPU float32 and tf32 are the same. The tables are Markdown; --output gets
all figures as JSON, after every measurement.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import facts, save

from polytask import random
from polytask.agents.config import BRCConfig
from polytask.agents.factory import make_agent
from polytask.speed import (
    LOOP_STEPS,
    TASKS,
    blocks,
    learning,
    loop_config,
    multiplications,
    random_batches,
    seconds,
)
from polytask.tasks import TaskSet, resolve

PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": None}
BLOCK = 0.1  # seconds of calls that are waited for together
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, each list in the order of what it tells."""

    agent: BRCConfig
    products: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    """Critic width and batch; the first two also of the whole loop."""
    seeds: tuple[int, ...]
    seconds: float
    """Of timing for each figure, besides what compiles."""


FULL = Plan(
    agent=BRCConfig(),
    products=(4096, 8192, 16384),
    sizes=(
        *((256, 256), (4096, 1024), (1024, 1024), (4096, 8192), (256, 8192), (1024, 8192), (4096, 256), (1024, 256)),
        *((512, 1024), (2048, 1024), (256, 1024), (512, 256), (2048, 256), (512, 8192), (2048, 8192)),
    ),
    seeds=(1, 4, 16, 64),
    seconds=1.0,
)
QUICK = Plan(
    agent=BRCConfig(critic_depth=0, actor_depth=0, bins=11),
    products=(256, 512),
    sizes=((16, 32),),
    seeds=(4,),
    seconds=0.2,
)


class Budget:
    """Runs measurements while there is time for them."""

    def __init__(self, minutes: float, keep: Callable[[], None]) -> None:
        self.end, self.keep = time.perf_counter() + 60 * minutes, keep
        self.longest: dict[str, float] = {}
        self.left_out: dict[str, str] = {}

    def measure(
        self, kind: str, name: str, rows: list[Row], call: Callable[[], Row], line: Callable[[Row], str]
    ) -> None:
        """Appends what `call` finds to `rows` and prints its line."""
        begin = time.perf_counter()
        expected = self.longest.get(kind, max(self.longest.values(), default=0.0))
        if begin + expected >= self.end:
            self.left_out[name] = "no time"
            return
        try:
            rows.append(call())
            print(line(rows[-1]), flush=True)
        except jax.errors.JaxRuntimeError as error:
            self.left_out[name] = str(error).splitlines()[0]
        self.longest[kind] = max(self.longest.get(kind, 0.0), time.perf_counter() - begin)
        self.keep()
        jax.clear_caches()


def rate(call: Callable[[], Any], budget: float) -> tuple[float, float]:
    """Median and best seconds of a call, of blocks of calls of which only the last is waited for."""
    seconds(call)
    count = max(1, round(BLOCK / seconds(call)))

    def block() -> Any:
        for _ in range(count - 1):
            call()
        return call()

    times = [taken / count for taken in blocks(block, budget, least=3)]
    return statistics.median(times), min(times)


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[jnp.dtype]:
    """Makes products of float32 arrays as a precision says; gives the type of the arrays."""
    with jax.default_matmul_precision(PRECISIONS[precision]):
        yield jnp.dtype(jnp.bfloat16 if precision == "bfloat16" else jnp.float32)


def peak(precision: str, products: tuple[int, ...], budget: float) -> Row:
    """TFLOP/s of the fastest of several square products."""
    found = {}
    with computing_in(precision) as dtype:
        multiply = jax.jit(lambda a, b: a @ b)
        for size in products:
            a = jax.random.normal(jax.random.key(0), (size, size), dtype)
            found[size] = 2e-12 * size**3 / rate(lambda a=a: multiply(a, a), budget)[1]
    best = max(found, key=found.__getitem__)
    return {"precision": precision, "tflops": found[best], "size": best}


def compiled_update(update: Any, state: Any, *inputs: Any) -> tuple[Callable[[], Any], float]:
    """A call that makes an agent's gradient steps one after another, and the seconds that compiling it took."""
    lowered = update.lower(state, *inputs)
    begin = time.perf_counter()
    program = lowered.compile()
    took = time.perf_counter() - begin

    def call() -> Any:
        nonlocal state
        state, metrics = program(state, *inputs)
        return state, metrics

    return call, took


def bound_of(tasks: TaskSet) -> np.ndarray:
    """The largest return of every task."""
    return np.full(len(tasks), 10, np.float32)


def update(config: BRCConfig, tasks: TaskSet, precision: str, peaks: dict[str, float], budget: float) -> Row:
    """A gradient step at one size in one precision."""
    agent = make_agent(config, tasks)
    with computing_in(precision) as dtype:
        state = agent.init(random.key(0, "init"))
        state = jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, state)
        inputs = (random_batches(config, tasks), bound_of(tasks), random.key(0, "update"))
        call, compiling = compiled_update(agent._update, state, *inputs)
        del state  # donated by the first call
        median, best = (taken / config.updates_per_step for taken in rate(call, budget))
    tflop = multiplications(config, tasks) / 1e3
    return {
        "width": config.critic_width,
        "batch": config.batch_size,
        "precision": precision,
        "median_ms": 1e3 * median,
        "best_ms": 1e3 * best,
        "tflops": tflop / best,
        "of_peak": tflop / best / peaks.get(precision, math.nan),
        "compile_s": compiling,
    }


def seeds_update(config: BRCConfig, tasks: TaskSet, count: int, budget: float) -> Row:
    """A gradient step of several seeds as one program."""
    agent = make_agent(config, tasks)
    states = jax.jit(jax.vmap(agent.init))(jax.random.split(random.key(0, "init"), count))
    batches, bounds = jax.tree.map(
        lambda leaf: jnp.stack([leaf] * count), (random_batches(config, tasks), bound_of(tasks))
    )
    keys = jax.random.split(random.key(0, "update"), count)
    call, compiling = compiled_update(agent.over_seeds()[0], states, batches, bounds, keys)
    del states
    median, best = (taken / config.updates_per_step for taken in rate(call, budget))
    return {
        "seeds": count,
        "width": config.critic_width,
        "batch": config.batch_size,
        "median_ms": 1e3 * median,
        "best_ms": 1e3 * best,
        "compile_s": compiling,
        "tflops": count * multiplications(config, tasks) / 1e3 / best,
    }


def loop(config: BRCConfig, tasks: TaskSet, budget: float) -> Row:
    """The whole loop of a training after its warm-up."""
    with learning(loop_config(tasks, config)) as (trainer, block):
        seconds(block)
        before, begin = dict(trainer.seconds[0]), time.perf_counter()
        times = blocks(block, budget, least=3)
        wall = time.perf_counter() - begin
        spent = {name: taken - before[name] for name, taken in trainer.seconds[0].items()}
    rates = [LOOP_STEPS * len(tasks) / taken for taken in times]
    return {
        "width": config.critic_width,
        "batch": config.batch_size,
        "median_rate": statistics.median(rates),
        "best_rate": max(rates),
        "share": {name: spent[name] / wall for name in ("simulate", "update", "sample")},
    }


def ms(row: Row) -> str:
    """Median and best milliseconds."""
    return f"{row['median_ms']:.3g} ({row['best_ms']:.3g})"


def peak_line(row: Row) -> str:
    """A peak as a row of its table."""
    return f"| {row['precision']} | {row['tflops']:.3g} | {row['size']} |"


def update_line(row: Row) -> str:
    """A gradient step as a row of its table."""
    size = f"| {row['width']} / {row['batch']} | {row['precision']} | {ms(row)} "
    return f"{size}| {row['tflops']:.3g} | {row['of_peak']:.0%} | {row['compile_s']:.1f} |"


def loop_line(row: Row) -> str:
    """A loop as a row of its table."""
    shares = " | ".join(f"{share:.0%}" for share in row["share"].values())
    return f"| {row['width']} / {row['batch']} | {row['median_rate']:,.0f} ({row['best_rate']:,.0f}) | {shares} |"


def seeds_line(row: Row) -> str:
    """Several seeds as a row of their table."""
    each = f"{row['median_ms'] / row['seeds']:.3g}"
    return f"| {row['seeds']} | {ms(row)} | {each} | {row['tflops']:.3g} | {row['compile_s']:.1f} |"


def heading(*names: str) -> None:
    """The head of a table."""
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a CPU")
    parser.add_argument("--output", type=Path, default=Path("accelerator.json"), help="a file for the figures, as JSON")
    given = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    plan, tasks, known = QUICK if given.quick else FULL, resolve([TASKS]), facts()
    found: dict[str, list[Row]] = {"peak": [], "update": [], "loop": [], "seeds": []}
    budget = Budget(given.minutes, lambda: save(given.output, {**known, **found, "left_out": budget.left_out}))
    print(f"{', '.join(map(str, known['devices']))}; {known['cores']} cores, {known['cpu']}; JAX {jax.__version__}")

    def measure(kind: str, name: str, call: Callable[[], Row], line: Callable[[Row], str]) -> None:
        budget.measure(kind, f"{kind} {name}", found[kind], call, line)

    heading("precision", "fastest product, TFLOP/s", "of size")
    for name in PRECISIONS:
        measure("peak", name, functools.partial(peak, name, plan.products, plan.seconds), peak_line)
    peaks = {row["precision"]: row["tflops"] for row in found["peak"]}

    def agent(width: int, batch: int) -> BRCConfig:
        return dataclasses.replace(plan.agent, critic_width=width, batch_size=batch)

    def updates(sizes: tuple[tuple[int, int], ...]) -> None:
        heading("width / batch", "precision", "gradient step, ms: median (best)", "TFLOP/s", "of peak", "compile, s")
        for size, name in itertools.product(sizes, PRECISIONS):
            call = functools.partial(update, agent(*size), tasks, name, peaks, plan.seconds)
            measure("update", f"{size[0]} / {size[1]} {name}", call, update_line)

    updates(plan.sizes[:2])
    heading("width / batch", "whole loop, steps/s: median (best)", "simulators", "update", "drawing")
    for size in plan.sizes[:2]:
        call = functools.partial(loop, agent(*size), tasks, 5 * plan.seconds)
        measure("loop", f"{size[0]} / {size[1]}", call, loop_line)
    size = plan.sizes[0]
    heading(
        f"seeds, {size[0]} / {size[1]}", "gradient step of all, ms: median (best)", "of one", "TFLOP/s", "compile, s"
    )
    for count in plan.seeds:
        measure(
            "seeds", str(count), functools.partial(seeds_update, agent(*size), tasks, count, plan.seconds), seeds_line
        )
    if plan.sizes[2:]:
        updates(plan.sizes[2:])
    budget.keep()
    print(f"\nLoad at the beginning {known['load']}.")
    for reason in dict.fromkeys(budget.left_out.values()):
        names = [name for name, why in budget.left_out.items() if why == reason]
        print(f"Left out ({reason}): {', '.join(names)}.")


if __name__ == "__main__":
    main()
