"""What a training step costs with a combiner, relative to the plain sum, by the number of tasks."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from polytask.claims.base import Log

TASKS = (2, 10, 40)
PUBLISHED = {  # at 40 tasks: time of an epoch of CelebA over that of the sum
    "rlw": "1.06",
    "graddrop": "1.05, by features",
    "imtl_g": "1.26, by features",
    "mgda": "2.4, by features",
    "pcgrad": "35",
}
STEPS = 20  # in a timed call


def costs(methods: Sequence[str], full: bool, log: Log) -> list[dict[str, Any]]:
    """The ratio of a step's time to that of the sum on digit attributes, by method and tasks, with quartiles.

    A trunk of two layers of 256 units, 256 rows in a step, evaluations left out. Calls of the method and of the sum
    alternate, and the ratio is the median over such pairs, so that other load on the machine falls on both.
    """
    found = []
    for tasks in TASKS if full else TASKS[:1]:
        plain = _steps(tasks, "sum")
        for method in methods:
            low, ratio, high = _paired(_steps(tasks, method), plain, 15 if full else 5)
            paper = PUBLISHED.get(method, "") if tasks == 40 else ""
            found.append({"method": method, "tasks": tasks, "ratio": ratio, "low": low, "high": high, "paper": paper})
        log(f"cost of a step with {tasks} tasks")
    return found


def _steps(tasks: int, method: str) -> Callable[[], None]:
    """Some training steps from the same state, compiled."""
    import jax

    from polytask.combine import make_combiner
    from polytask.problems import resolve
    from polytask.supervised import SupervisedConfig, TrunkConfig
    from polytask.supervised.fitting import seed_key
    from polytask.supervised.training import init, make_setup, train_steps

    problem = resolve(f"problems/digit-attributes-{tasks}")
    config, combiner = SupervisedConfig(trunk=TrunkConfig(width=256), batch_size=256), make_combiner(method)

    def setup(problem: Any) -> Any:
        return make_setup(problem, config, combiner)

    state = init(setup(problem), seed_key(0))
    program = jax.jit(lambda problem, state, key: train_steps(setup(problem), state, key, STEPS)[0])
    key = seed_key(1)

    def call() -> None:
        jax.block_until_ready(program(problem, state, key))

    call()
    return call


def _paired(method: Callable[[], None], plain: Callable[[], None], pairs: int) -> tuple[float, float, float]:
    """Quartiles of the ratio of two functions' times over alternating calls."""
    ratios = []
    for _ in range(pairs):
        start = time.perf_counter()
        method()
        middle = time.perf_counter()
        plain()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return low, ratio, high
