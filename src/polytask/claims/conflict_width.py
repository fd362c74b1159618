"""Whether the tasks' gradients conflict less often in a wider critic."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds
from polytask.claims.training_runs import small, train_once

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from polytask.online.config import TrainConfig

WIDTHS = (64, 128, 256, 512)
SEEDS = range(3)
FAST_WIDTHS = (8, 16)

Rates = dict[int, list[tuple[Float[np.ndarray, " periods"], float]]]
"""By width, for each seed: the conflict rate in each period, and over all."""


def configuration(full: bool, width: int, seed: int) -> "TrainConfig[Any]":
    """The training of one width and seed: all else is the same."""
    from polytask.agents.config import BRCConfig
    from polytask.online.config import TrainConfig

    config = TrainConfig(("metaworld/mt10",), BRCConfig())
    config = dataclasses.replace(config, seed=seed, eval_every=0, tensorboard=False)
    if not full:
        return dataclasses.replace(small(config, width), affinity_every=10)
    agent = dataclasses.replace(config.agent, critic_width=width)
    return dataclasses.replace(config, agent=agent, steps=12_000, affinity_every=100)


def conflict_rate(run: Path) -> tuple[Float[np.ndarray, " periods"], float]:
    """How often two tasks' critic gradients have a negative cosine, the mean over pairs: by period, and over all."""
    from polytask.affinity.record import conflict_rates, pool
    from polytask.runs.affinity_log import read_affinity

    records, _, _ = read_affinity(run)
    wanted = [record for record in records if (record.measure, record.part) == ("conflict", "critic")]
    periods = [conflict_rates(pool([record], "conflict", "critic")).mean() for record in wanted]
    return np.array(periods), float(conflict_rates(pool(wanted, "conflict", "critic")).mean())


def run(full: bool, output: Path, log: Log) -> Finding:
    """A training for each width and seed, in a folder that a later run continues; then their rates."""
    widths, seeds = (WIDTHS, SEEDS) if full else (FAST_WIDTHS, range(1))
    folder = output / f"{CLAIM.name}-{'full' if full else 'fast'}"
    found: Rates = {width: [] for width in widths}
    for seed in seeds:
        for width in widths:
            place = folder / f"width{width}-seed{seed}"
            train_once(configuration(full, width, seed), place)
            found[width].append(conflict_rate(place))
            log(f"width {width}, seed {seed}: {100 * found[width][-1][1]:.1f} % of pairs conflict")
    return finding(found)


def finding(found: Rates) -> Finding:
    """The rates by width, and how the widest differs from the narrowest, paired: over all, and late in training."""
    rates = {width: np.array([rate for _, rate in by_seed]) for width, by_seed in found.items()}
    narrow, wide = min(rates), max(rates)
    seeds = len(rates[narrow])
    rows = [
        Row(
            f"share of conflicting pairs, critics {width} wide", *over_seeds(values), paper="(figure only)", seeds=seeds
        )
        for width, values in rates.items()
    ]
    change = over_seeds(rates[wide] - rates[narrow])
    rows.append(Row(f"{wide} wide - {narrow} wide, paired", *change, seeds=seeds))
    late = {width: np.array([_second_half(periods) for periods, _ in by_seed]) for width, by_seed in found.items()}
    rows.append(Row("the same, second half of the periods", *over_seeds(late[wide] - late[narrow]), seeds=seeds))
    verdicts: dict[int, Verdict] = {-1: "holds", 0: "no difference seen", 1: "does not hold"}
    remarks = [
        "A pair of tasks conflicts where the cosine of their critic gradients is negative; batches of each task."
    ]
    if seeds == 1:
        remarks.append("One seed says nothing about the difference: the full mode has several.")
    tables = {
        "share of conflicting pairs, by width and seed": rates,
        "second half of the periods": late,
        "by period": {width: [periods for periods, _ in by_seed] for width, by_seed in found.items()},
    }
    return Finding(tuple(rows), verdicts[change.sign], tuple(remarks), {"rates": _figure(rates)}, tables)


def _second_half(periods: Float[np.ndarray, " periods"]) -> float:
    return float(periods[len(periods) // 2 :].mean())


def _figure(rates: Mapping[int, Sequence[float] | np.ndarray]) -> "Figure":
    from polytask.claims.drawing import INK, MUTED, draw

    def fill(axes: "Axes") -> None:
        widths = list(rates)
        means = [100 * np.mean(rates[width]) for width in widths]
        axes.plot(widths, means, "-", color=INK)
        for width in widths:
            axes.plot([width] * len(rates[width]), 100 * np.asarray(rates[width]), "o", color=MUTED, markersize=5)
        axes.set_xscale("log")
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        axes.set(xlabel="width of the critics", ylabel="conflicting pairs, %")
        axes.set_ylim(0, max(50.0, *axes.get_ylim()))

    return draw(fill, 5, 3.5)


CLAIM = Claim(
    name="conflict-width",
    paper="BRC, arXiv 2505.23150",
    statement="The tasks' gradients conflict less often in a larger critic.",
    run=run,
    fast="two widths on three tasks, one seed, 120 steps, 1 CPU minute",
    full="four widths on MT10, three seeds, 12,000 steps, about 2 hours; goes on where it was interrupted",
)
