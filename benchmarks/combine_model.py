"""The sizes of the model in combine.py and combine_peers.py, and how both time a step."""

import statistics
import time
from collections.abc import Callable
from typing import Any

INPUTS, WIDTH, DEPTH, ROWS, ROWS_EACH = 64, 512, 3, 512, 128


def paired(step: Callable[[], Any], unitary: Callable[[], Any], pairs: int, cpu_time: bool = False) -> dict[str, float]:
    """The ratio of the two functions' times over alternating calls, with quartiles, and the second's milliseconds."""
    clock = time.process_time if cpu_time else time.perf_counter
    for _ in range(2):
        step()
        unitary()
    ratios, plain = [], []
    for _ in range(pairs):
        start = clock()
        step()
        middle = clock()
        unitary()
        end = clock()
        ratios.append((middle - start) / (end - middle))
        plain.append(1e3 * (end - middle))
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return {"ratio": ratio, "low": low, "high": high, "unitary_ms": statistics.median(plain)}
