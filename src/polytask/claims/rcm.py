"""Whether frozen filters with a modulator for each task are as good as a network for each task."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds

SETS = ("digits", "photographs")
WAYS = ("frozen, norms and head", "modulators, random", "modulators, identity", "modulators, RI", "modulators, RI, NFF")
OURS = WAYS[-1]
PAPER = {"digits": "-0.99 (PASCAL-Context; secondary source)", "photographs": "-1.48 (NYUD; secondary source)"}
PAPER_PLAIN = "-2.13 without RI and NFF (PASCAL-Context; secondary source)"


class Plan(NamedTuple):
    """`depth` layers of `width` channels; steps of each training, of `batch` rows."""

    width: int = 16
    depth: int = 3
    batch: int = 32
    steps: int = 300
    every: int = 100
    rate: float = 3e-3
    seeds: tuple[int, ...] = (0, 1, 2)


FAST = Plan(width=12, depth=2, steps=150, every=75)


def run(full: bool, output: Path, log: Log) -> Finding:
    """One set of images after the other; one that is done is kept."""
    from polytask.claims.parts import Parts
    from polytask.claims.rcm_training import measured

    plan, found = Plan() if full else FAST, {}
    parts = Parts(output, CLAIM.name)
    for name in SETS if full else SETS[:1]:
        found[name] = parts.get(name, {"plan": str(plan)}, lambda name=name: measured(name, plan))
        log(f"{name}: modulators with RI and NFF {100 * found[name][OURS].mean():.1f} %")
    made = finding(found)
    parts.clear()
    return made


def finding(found: Mapping[str, Mapping[str, Float[np.ndarray, "tasks seeds"]]]) -> Finding:
    """Accuracies of each way, and its mean relative difference from a network for each task."""
    from polytask.claims.small_images import TASKS

    rows, signs = [], []
    for name, ways in found.items():
        seeds = ways["single"].shape[1]
        for way in ("single", *WAYS, "one after another"):
            for task, values in zip(TASKS[name], ways[way], strict=True):
                rows.append(Row(f"{name}: {way}, {task}, %", *over_seeds(100 * values), seeds=seeds))
        for way in (*WAYS, "one after another"):
            change = over_seeds(100 * (ways[way] / ways["single"] - 1).mean(0))
            paper = PAPER[name] if way == OURS else PAPER_PLAIN if (name, way) == ("digits", WAYS[2]) else ""
            rows.append(Row(f"{name}: {way}, change from single, %", *change, paper, seeds))
            signs += [change.sign] if way == OURS else []
        lost = over_seeds(100 * ways["forgetting"].mean(0))
        rows.append(Row(f"{name}: one after another, worst forgetting, points", *lost, seeds=seeds))
    verdicts: dict[int, Verdict] = {-1: "does not hold", 0: "no difference seen", 1: "holds"}
    verdict: Verdict = verdicts[signs[0]] if len(set(signs)) == 1 else "mixed"
    remarks = (
        "Change from single: the mean over tasks of the relative difference in accuracy from a network for each task, "
        "all of which begin as the trunk that has learned the first five classes. The verdict is on RI and NFF: "
        "whether that difference is seen.",
        "Modulators forget nothing: what earlier tasks are computed from is not trained. Worst forgetting: of one "
        "trunk tuned to one task after another, in the three cyclic orders, with the head that each task had.",
    )
    return Finding(tuple(rows), verdict, remarks, tables={"accuracy by set, way, task and seed": dict(found)})


CLAIM = Claim(
    name="rcm",
    paper="Reparameterized convolutions, arXiv 2007.12540",
    statement="Frozen filters with modulators by task come close to a network for each task, and forget nothing.",
    run=run,
    fast="digits only, three seeds, 2 layers of 12, 150 steps, 2 CPU minutes",
    full="two sets of three tasks, three seeds, 3 layers of 16, 300 steps; continues; needs pip install scikit-image",
)
