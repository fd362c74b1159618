"""Task Jacobians with known difficulties, and one compiled call for each method."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from polytask.combine import Combined, Combiner, Scale, combine_gradients, make_combiner

PARAMETERS = 12
BATCH = 7
KEY = jax.random.key(5)

# Options for the methods that need some; every other method runs with its defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "constant": {"weights": (0.5, 2.0, 1.0, 0.25, 3.0)},
    "dwa": {"period": 2},
    "lps": {"period": 2},
    "it_mtl": {"candidates": ("sum", "each", (0, 2), "pcgrad", "graddrop"), "learning_rate": 0.1},
}


def jacobians(tasks: int) -> dict[str, np.ndarray]:
    """(tasks, PARAMETERS) each: random, rank-deficient, conflicting, with zeros, duplicates, and badly scaled."""
    rng = np.random.default_rng(tasks)
    random = rng.normal(size=(tasks, PARAMETERS))
    low = rng.normal(size=(tasks, 2)) @ rng.normal(size=(2, PARAMETERS))
    # Pairwise cosines of nearly -1/(tasks - 1), the most that can be for all pairs at once.
    conflicting = random - random.mean(axis=0) + 0.01 * rng.normal(size=(1, PARAMETERS))
    zero_row = random * (np.arange(tasks) != tasks - 1)[:, None]
    cases = {
        "random": random,
        "rank_deficient": low,
        "conflicting": conflicting if tasks > 1 else random,
        "zero_task": zero_row,
        "all_zero": np.zeros_like(random),
        "duplicates": random[np.arange(tasks) // 2 * 2],
        "badly_scaled": random * np.logspace(-3, 3, tasks)[:, None],
    }
    return {name: case.astype(np.float32) for name, case in cases.items()}


def losses(tasks: int) -> np.ndarray:
    return np.linspace(0.5, 2.0, tasks, dtype=np.float32)


@cache
def combiner(name: str, scale: Scale = "sum", tasks: int = 5) -> Combiner:
    options = dict(OPTIONS.get(name, {}))
    if name == "constant":
        options["weights"] = options["weights"][:tasks]
    return make_combiner(name, scale=scale, **options)


def losses_after(gradients, task_losses):
    """What a short step does to losses that decay along their gradients; for IT-MTL."""
    rows = jnp.where(jnp.isfinite(gradients), gradients, 0.0)
    largest = jnp.max(jnp.abs(rows))
    rows = rows / jnp.where(largest == 0, 1.0, largest)

    def after(gradient):
        change = rows @ (gradient / jnp.where(largest == 0, 1.0, largest))
        return task_losses * jnp.exp(-0.01 * change)

    return after


@cache
def compiled(name: str, scale: Scale, tasks: int):
    """combine_gradients from the first state over a batch of Jacobians."""
    made = combiner(name, scale, tasks)

    def one(gradients, task_losses, present) -> Combined:
        state = made.init(jnp.zeros(gradients.shape[1:]), tasks)
        after = losses_after(gradients, task_losses)
        return combine_gradients(made, gradients, task_losses, state, key=KEY, present=present, losses_after=after)

    return jax.jit(jax.vmap(one))


def combine(name: str, cases, *, scale: Scale = "sum", present=None, task_losses=None) -> Combined:
    """`cases` is (batch, tasks, parameters); all else is repeated for each unless it has a batch axis.

    Batches are filled up to a common size, so that each method is compiled once for a number of tasks.
    """
    cases = np.asarray(cases, np.float32)
    batch, tasks, _ = cases.shape
    task_losses = losses(tasks) if task_losses is None else task_losses
    present = np.ones(tasks, bool) if present is None else np.asarray(present)
    given = (cases, np.broadcast_to(task_losses, (batch, tasks)), np.broadcast_to(present, (batch, tasks)))
    filled = [np.concatenate([x, np.repeat(x[:1], BATCH - batch, axis=0)]) for x in given]
    return jax.tree.map(lambda x: x[:batch], jax.device_get(compiled(name, scale, tasks)(*filled)))


def stacked(tasks: int) -> np.ndarray:
    return np.stack(list(jacobians(tasks).values()))


def assert_close(actual, expected, *, relative=1e-5, size=0.0, message=""):
    """Equal up to `relative` times the length of the vector along the last axis, or times `size` if that is more."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    length = np.linalg.norm(expected, axis=-1)
    bound = relative * np.maximum(length, size)[..., None] + 1e-30
    error = np.abs(actual - expected)
    worst = (error / bound).max(axis=-1) * relative
    assert np.all(error <= bound), f"{message}: off by {worst} of the length"


def terms(result: Combined, cases) -> np.ndarray | float:
    """sum_i |w_i| ||g_i||: where task gradients cancel, as at Pareto-stationary points, the combined gradient is known
    only relative to this."""
    if "weights" not in result.info:
        return 0.0
    lengths = np.linalg.norm(np.asarray(cases, np.float64), axis=-1)
    return (np.abs(np.asarray(result.info["weights"], np.float64)) * np.nan_to_num(lengths)).sum(axis=-1)
