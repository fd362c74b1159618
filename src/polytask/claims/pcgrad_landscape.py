"""PCGrad's two-task landscape: where Adam on the sum stalls, and where PCGrad arrives."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from polytask.claims.base import Claim, Finding, Log, Row, Verdict

if TYPE_CHECKING:
    from jax import Array
    from matplotlib.axes import Axes

PUBLISHED = (0.5, -3.0)
RATE = 1e-3
FAST_RATE = 1e-2  # the way is ten times as short, and ends in the same places
FLOOR = 5e-6  # of the distances under the logarithms, as published
NEAR = 0.05  # so small both distances must be for the point to count as arrived
METHODS = ("sum", "pcgrad")
NAMES = {"sum": "Adam on the sum", "pcgrad": "Adam on PCGrad"}


class Paths(NamedTuple):
    """Points on the way, (records, starts, 2), `every` steps apart, the start first."""

    points: Float[np.ndarray, "records starts 2"]
    every: int

    @property
    def last(self) -> Float[np.ndarray, "starts 2"]:
        """Where they are at the end."""
        return self.points[-1]


def distances(points: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
    """|θ1 / 2 + tanh θ2| and |θ1 / 2 - tanh θ2 + 2|: how far from the bottom of each task's valley."""
    x, y = points[..., 0], np.tanh(points[..., 1])
    return np.abs(np.stack([0.5 * x + y, 0.5 * x - y + 2], -1))


def total_loss(points: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch"]:
    """L1 + L2 = 20 log max(|θ1 / 2 + tanh θ2|, 5e-6) + 25 log max(|θ1 / 2 - tanh θ2 + 2|, 5e-6) (appendix D)."""
    return (np.log(np.maximum(distances(points), FLOOR)) * np.array([20.0, 25.0])).sum(-1)


def arrived(points: Float[np.ndarray, "batch 2"]) -> Bool[np.ndarray, " batch"]:
    """Whether points lie at the bottom of both valleys; they meet only at (-2, ∞)."""
    return np.asarray((distances(points) < NEAR).all(-1))


def descend(method: str, starts: Float[np.ndarray, "starts 2"], rate: float, steps: int, records: int) -> Paths:
    """`steps` steps of Adam along the combined gradient, from all starts at once."""
    import jax
    import jax.numpy as jnp
    import optax

    from polytask import random
    from polytask.combine import combine_gradients, make_combiner
    from polytask.losses import optimiser_step

    combiner, optimiser = make_combiner(method), optax.adam(rate)
    every = steps // records

    def losses(point: "Array") -> "Array":
        x, y = point[0], jnp.tanh(point[1])
        apart = jnp.stack([jnp.abs(0.5 * x + y), jnp.abs(0.5 * x - y + 2)])
        return jnp.array([20.0, 25.0]) * jnp.log(jnp.maximum(apart, FLOOR))

    def one(carry: tuple, step: "Array") -> tuple[tuple, None]:
        point, inner, state, key = carry
        key_step = jax.random.fold_in(key, step)
        found = combine_gradients(combiner, jax.jacrev(losses)(point), losses(point), state, key=key_step)
        point, inner = optimiser_step(optimiser, point, found.gradient, inner)
        return (point, inner, found.state, key), None

    def path(start: "Array", key: "Array") -> "Array":
        def part(carry: tuple, first: "Array") -> tuple[tuple, "Array"]:
            carry, _ = jax.lax.scan(one, carry, first + jnp.arange(every))
            return carry, carry[0]

        begin = (start, optimiser.init(start), combiner.init(start, 2), key)
        return jax.lax.scan(part, begin, every * jnp.arange(records))[1]

    begin = jnp.asarray(starts, jnp.float32)
    keys = jax.random.split(random.key(0, "pcgrad landscape"), len(starts))
    points = jax.jit(jax.vmap(path, out_axes=1))(begin, keys)
    return Paths(np.concatenate([np.asarray(begin)[None], np.asarray(points)]), every)


def settled(paths: Paths) -> Float[np.ndarray, " starts"]:
    """The loss as it is in the last tenth of the way: its mean, since the valleys' walls make it jump."""
    losses = total_loss(paths.points)
    return losses[-max(1, len(losses) // 10) :].mean(0)


def reached(paths: Paths) -> Bool[np.ndarray, " starts"]:
    """Which were at the bottom of both valleys at some record. They stay near it, but the walls throw them about."""
    return np.asarray(np.stack([arrived(points) for points in paths.points]).any(0))


def arrival(paths: Paths) -> int | None:
    """Steps until the first path was at the bottom of both valleys for the first time, to within a record."""
    found = np.flatnonzero(arrived(paths.points[:, 0]))
    return int(found[0]) * paths.every if len(found) else None


def run(full: bool, output: Path, log: Log) -> Finding:
    """Both methods from the published start; in full also at other learning rates and from a grid of starts."""
    steps, rate = (500_000, RATE) if full else (40_000, FAST_RATE)
    start, published = np.array([PUBLISHED]), {}
    for method in METHODS:
        published[method] = descend(method, start, rate, steps, 500)
        log(f"{NAMES[method]}: {steps:,} steps")
    rows = _published_rows(published)
    tables: dict[str, Any] = {"steps": steps, "learning rate": rate, "start": PUBLISHED}
    tables["paths"] = {method: paths.points[:, 0] for method, paths in published.items()}
    remarks = ["The paper draws the paths and prints no end points. The landscape was built to show the effect."]
    if not full:
        remarks.append(f"At a learning rate of {rate:g} in place of the published {RATE:g}.")
    grid = None
    if full:
        rates = _rates(start, steps, published, log)
        grid = _grid(steps, log)
        tables |= {"learning rates": rates, "grid": grid}
        count = len(grid["starts"])
        for method in METHODS:
            share = float(np.mean(grid[method]["arrived"]))
            rows.append(Row(f"{NAMES[method]}: share of {count} starts that arrive", share))
        remarks += [_rate_remark(rates)]
    holds = bool(reached(published["pcgrad"])[0] and not reached(published["sum"])[0])
    verdict: Verdict = "holds" if holds else "does not hold"
    return Finding(tuple(rows), verdict, tuple(remarks), {"paths": _figure(published, grid)}, tables)


def _published_rows(published: dict[str, Paths]) -> list[Row]:
    rows = []
    for method, paths in published.items():
        (first, second), name = paths.last[0].tolist(), NAMES[method]
        drawn = "(figure only)"
        rows += [Row(f"{name}: θ1 at the end", first, paper=drawn), Row(f"{name}: θ2 at the end", second, paper=drawn)]
        rows.append(Row(f"{name}: L1 + L2, last tenth", float(settled(paths)[0])))
        when = arrival(paths)
        if when is not None:
            rows.append(Row(f"{name}: steps to the bottom of both valleys", float(when)))
    return rows


def _rates(start: np.ndarray, steps: int, published: dict[str, Paths], log: Log) -> list[dict[str, Any]]:
    """The published start at other learning rates."""
    found = []
    for rate in (1e-4, RATE, 1e-2):
        for method in METHODS:
            paths = published[method] if rate == RATE else descend(method, start, rate, steps, 500)
            end = paths.last[0].tolist()
            found.append({"method": method, "learning rate": rate, "end": end, "arrival": arrival(paths)})
        log(f"learning rate {rate:g}")
    return found


def _rate_remark(rates: list[dict[str, Any]]) -> str:
    arrives = {m: [f"{r['learning rate']:g}" for r in rates if r["method"] == m and r["arrival"]] for m in METHODS}
    said = [f"{NAMES[m]} arrives at {' and '.join(found) if found else 'none'}" for m, found in arrives.items()]
    return f"Of the learning rates 0.0001, 0.001 (published) and 0.01: {'; '.join(said)}."


def _grid(steps: int, log: Log) -> dict[str, Any]:
    """From starts on a grid of 8 x 8 over [-6, 6] x [-4, 4]."""
    starts = np.stack(np.meshgrid(np.linspace(-6, 6, 8), np.linspace(-4, 4, 8)), -1).reshape(-1, 2)
    found: dict[str, Any] = {"starts": starts}
    for method in METHODS:
        paths = descend(method, starts, RATE, steps, 100)
        found[method] = {"ends": paths.last, "arrived": reached(paths), "settled": settled(paths)}
        log(f"{NAMES[method]} from {len(starts)} starts")
    return found


def _figure(published: dict[str, Paths], grid: dict[str, Any] | None) -> Any:
    from polytask.claims.drawing import GRID, INK, MUTED, PAPER, SERIES, draw

    def levels(axes: "Axes") -> None:
        x, y = np.meshgrid(np.linspace(-7, 7, 400), np.linspace(-5, 8, 400))
        heights = total_loss(np.stack([x, y], -1))
        axes.contour(x, y, heights, levels=np.arange(-150, 90, 15), colors=MUTED, linewidths=0.5, linestyles="solid")
        axes.set(xlabel="θ1", ylabel="θ2", xlim=(-7, 7), ylim=(-5, 8))
        axes.grid(False)

    def paths(axes: "Axes") -> None:
        levels(axes)
        for colour, (method, found) in zip(SERIES, published.items(), strict=False):
            points = found.points[:, 0]
            axes.plot(*points.T, color=colour, label=NAMES[method])
            axes.plot(*points[-1], "o", color=colour, markeredgecolor=PAPER, markersize=8)
        axes.plot(*PUBLISHED, "s", color=INK, markersize=6, label="start")
        axes.legend(loc="upper right", frameon=True, facecolor=PAPER, edgecolor=GRID, framealpha=1)
        axes.set_title("The published start", loc="left", fontsize=11)

    def starts(axes: "Axes") -> None:
        levels(axes)
        found = grid or {}
        shown = {"sum": ("s", 10, "none"), "pcgrad": ("o", 5, None)}
        for colour, method in zip(SERIES, METHODS, strict=False):
            shape, size, fill = shown[method]
            which = found["starts"][found[method]["arrived"]]
            label = f"{NAMES[method]} arrives"
            face = fill or colour
            axes.plot(*which.T, shape, color=colour, markersize=size, markerfacecolor=face, label=label)
        axes.legend(loc="upper left", frameon=True, facecolor=PAPER, edgecolor=GRID, framealpha=1)
        axes.set_title("A grid of starts", loc="left", fontsize=11)

    def both(left: "Axes", right: "Axes") -> None:
        paths(left)
        starts(right)

    return draw(paths, 5, 4.5) if grid is None else draw(both, 10, 4.5, columns=2)


CLAIM = Claim(
    name="pcgrad-landscape",
    paper="PCGrad, arXiv 2001.06782, appendix D",
    statement="On a two-task landscape of conflicting, curved valleys Adam stalls, and Adam with PCGrad arrives.",
    run=run,
    fast="the published start at ten times the learning rate, 40,000 steps, 10 s",
    full="500,000 steps, three learning rates, 64 starts, 6 min",
)
