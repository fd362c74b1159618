"""Float64 references for the methods that solve problems, straight from the Jacobian, and Jacobians to try them on."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls

from polytask.combine.aligned import aligned
from polytask.combine.base import Inputs, Weighting
from polytask.combine.cagrad import cagrad
from polytask.combine.config_grad import config
from polytask.combine.fairgrad import fairgrad
from polytask.combine.imtl_g import imtl_g
from polytask.combine.mgda import mgda
from polytask.combine.nash import nash_mtl
from polytask.combine.projections import dual_proj, upgrad
from polytask.combine.sdmgrad import sdmgrad


def jacobians(tasks: int) -> dict[str, np.ndarray]:
    """(tasks, 3 tasks) each, float32."""
    rng = np.random.default_rng(tasks)
    wide = 3 * tasks
    random = rng.normal(size=(tasks, wide))
    centred = random - random.mean(axis=0) * (tasks > 1)
    cases = {
        "random": random,
        "aligned": random + 2 * rng.normal(size=wide),
        "scaled": random * np.logspace(-4, 4, tasks)[rng.permutation(tasks), None],
        "duplicates": random[np.arange(tasks) // 2],
        "rank_deficient": rng.normal(size=(tasks, tasks // 3 + 1)) @ rng.normal(size=(tasks // 3 + 1, wide)),
        "conflicting": centred + 0.05 * random.mean(axis=0),
        "opposed": centred + 0.001 * random.mean(axis=0),
        "stationary": centred,
    }
    return {name: case.astype(np.float32) for name, case in cases.items()}


SOLVABLE = ("random", "aligned", "scaled", "duplicates", "conflicting")
"""The cases away from Pareto-stationary points, by more than float32 can tell."""


METHODS: dict[str, Weighting] = {
    "mgda": mgda(),
    "cagrad": cagrad(),
    "imtl_g": imtl_g(),
    "nash_mtl": nash_mtl(),
    "fairgrad": fairgrad(2.0),
    "fairgrad_half": fairgrad(0.5),
    "aligned": aligned(),
    "aligned_median": aligned("median"),
    "aligned_rmse": aligned("rmse"),
    "upgrad": upgrad(),
    "dual_proj": dual_proj(),
    "config": config(),
    "sdmgrad": sdmgrad(),
}
BATCH, TASKS = 32, 20  # the goldens have up to 20 tasks
CASES = {f"{name}_{m}": case for m in (1, 2, 5, 12) for name, case in jacobians(m).items()}


@cache
def compiled(name: str):
    """Weights and residuals for a batch of Gramians, from the first state."""

    def one(gramian, present, scale):
        method = METHODS[name]
        inputs = Inputs(gramian, jnp.ones(present.shape[0]), present, jax.random.key(0), scale)
        weights, _, info = method.weigh(inputs, method.init(present.shape[0]))
        return weights, info["residual"]

    return jax.jit(jax.vmap(one))


def traced(name: str):
    """The program behind `weigh`, traced."""
    like = jax.ShapeDtypeStruct
    return compiled(name).trace(
        like((BATCH, TASKS, TASKS), np.float32), like((BATCH, TASKS), bool), like((BATCH,), np.float32)
    )


def weigh(name: str, cases: list[np.ndarray], tasks: int = TASKS) -> list[tuple[np.ndarray, float]]:
    """Float64 weights and the residual for each Jacobian.

    Smaller Jacobians get absent tasks that hold nonsense, and small batches empty cases: one shape, compiled once.
    """
    batch = max(len(cases), BATCH if tasks == TASKS else 0)
    gramians = np.ones((batch, tasks, tasks), np.float32)
    present = np.zeros((batch, tasks), bool)
    scales = np.ones(batch, np.float32)
    for i, case in enumerate(cases):
        exact = np.float64(case) @ np.float64(case).T
        largest = max(exact.diagonal(), default=0.0) or 1.0
        gramians[i, : len(case), : len(case)] = exact / largest
        present[i, : len(case)] = True
        scales[i] = np.sqrt(largest)
    weights, residuals = compiled(name)(gramians, present, scales)
    assert not np.asarray(weights)[~present].any()
    return [
        (w[: len(case)].astype(np.float64), float(r))
        for w, r, case in zip(np.asarray(weights), np.asarray(residuals), cases, strict=False)
    ]


@cache
def solutions(name: str) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """For each of CASES the float64 gradients, weights, and the residual."""
    results = weigh(name, list(CASES.values()))
    return {key: (np.float64(CASES[key]), *result) for key, result in zip(CASES, results, strict=True)}


def solvable(name: str) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Those of `solutions` that are away from Pareto-stationary points."""
    return {key: s for key, s in solutions(name).items() if key.rsplit("_", 1)[0] in SOLVABLE and len(s[0]) > 1}


def unit(jacobian: np.ndarray) -> np.ndarray:
    """The gradients divided by their lengths; zero gradients stay zero."""
    jacobian = np.float64(jacobian)
    norms = np.linalg.norm(jacobian, axis=1, keepdims=True)
    return jacobian / np.where(norms == 0, 1.0, norms)


def cone_projection(jacobian: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The vector nearest to `vector` that conflicts with no task: vector + U^T x, x = argmin |U^T x + vector|."""
    rows = unit(jacobian)
    length = np.linalg.norm(vector) or 1.0
    x, _ = nnls(rows.T, -vector / length, maxiter=100 * len(rows))
    return vector + length * rows.T @ x


def shortest_in_hull(jacobian: np.ndarray) -> np.ndarray:
    """The min-norm point; x = argmin |U^T x|^2 + (a^T x - 1)^2 over x >= 0 has its direction."""
    rows, norms = unit(jacobian), np.linalg.norm(np.float64(jacobian), axis=1)
    inverse = norms.min() / norms
    x, _ = nnls(np.vstack([rows.T, inverse]), np.append(np.zeros(rows.shape[1]), 1.0), maxiter=100 * len(rows))
    return (x * inverse / (x @ inverse)) @ np.float64(jacobian)


def conflict(jacobian: np.ndarray, weights: np.ndarray) -> float:
    """max_i -<g_i, d> / (|g_i| sum_j |w_j| |g_j|): at most rounding where d conflicts with no task."""
    jacobian = np.float64(jacobian)
    norms = np.linalg.norm(jacobian, axis=1)
    bound = norms * (np.abs(weights) @ norms)
    return float(np.max(-(jacobian @ (weights @ jacobian)) / np.where(bound == 0, 1.0, bound)))
