"""Whether evolving shared components costs less than a network for each task, and forgets nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds

TASKS = ("digits/digit", "digits/rotation", "digits/parity", "photographs/photograph", "photographs/rotation")
BASES = (1.0, 0.98, 0.9)


class Plan(NamedTuple):
    """Each problem is learned `rounds` times, in turn, for so many generations of so many children."""

    rounds: int = 3
    generations: int = 3
    children: int = 4
    child_steps: int = 60
    batch: int = 16
    width: int = 48
    tasks: tuple[str, ...] = TASKS
    bases: tuple[float, ...] = BASES
    seeds: tuple[int, ...] = (0, 1, 2)


FAST = Plan(rounds=2, generations=2, child_steps=40, width=32, tasks=TASKS[:3], bases=(1.0, 0.9))


def run(full: bool, output: Path, log: Log) -> Finding:
    """A seed after the other, for each base of the size penalty; what is done is kept."""
    from polytask.claims.mu2net_training import evolved, tuned
    from polytask.claims.parts import Parts

    plan = Plan() if full else FAST
    parts = Parts(output, CLAIM.name)
    settings = {"plan": str(plan._replace(bases=(), seeds=()))}
    found: dict[str, dict[str, np.ndarray]] = {}
    for seed in plan.seeds:
        for base in plan.bases:
            name = f"b{base:g}-seed{seed}"
            found[name] = parts.get(name, settings, lambda seed=seed, base=base: evolved(plan, base, seed))
            log(f"b {base:g}, seed {seed}: {100 * found[name]['accuracy'].mean():.1f} %")
        name = f"tuned-seed{seed}"
        found[name] = parts.get(name, settings, lambda seed=seed: tuned(plan, seed))
        log(f"a network for each, seed {seed}: {100 * found[name]['accuracy'].mean():.1f} %")
    made = finding(found, plan)
    parts.clear()
    return made


def finding(found: Mapping[str, Mapping[str, Float[np.ndarray, "..."]]], plan: Plan) -> Finding:
    """Accuracy, parameters per task and forgetting, for each base, beside a network for each task."""
    seeds = len(plan.seeds)

    def over(way: str, key: str) -> Float[np.ndarray, " seeds"]:
        return np.array([np.mean(found[f"{way}-seed{seed}"][key]) for seed in plan.seeds])

    rows, tuned = [], over("tuned", "accuracy")
    rows.append(Row("a network for each task: accuracy, %", *over_seeds(100 * tuned), seeds=seeds))
    rows.append(Row("its parameters for each task", *over_seeds(over("tuned", "parameters")), seeds=seeds))
    for base in plan.bases:
        way = f"b{base:g}"
        rows.append(Row(f"b = {base:g}: accuracy, %", *over_seeds(100 * over(way, "accuracy")), seeds=seeds))
        difference = over_seeds(100 * (over(way, "accuracy") - tuned))
        paper = "+2.39 (muNet, ten tasks)" if base == 1 else ""
        rows.append(Row(f"b = {base:g}: difference, points", *difference, paper, seeds))
        share = over_seeds(100 * (over(way, "parameters") / over("tuned", "parameters") - 1))
        paper = "-47 (muNet)" if base == 1 else ""
        rows.append(Row(f"b = {base:g}: parameters for each task, change in %", *share, paper, seeds))
        rows.append(
            Row(f"b = {base:g}: answers of earlier tasks that changed", *over_seeds(over(way, "changed")), "0", seeds)
        )
    first = over("b1", "accuracy") - tuned
    kept = all(np.all(over(f"b{base:g}", "changed") == 0) for base in plan.bases)
    sign = over_seeds(first).sign
    verdict: Verdict = "does not hold" if not kept or sign < 0 else "holds" if sign > 0 else "no difference seen"
    remarks = (
        "A network for each task has as many trained rows as its path: as many children as a generation, at four "
        "learning rates in turn, each trained for all generations and rounds, the best by the validation rows.",
        "The verdict is on the accuracy with b = 1, if no answer of an earlier task ever changed while another was "
        "learned (all bits compared after each problem).",
    )
    tables = {"plan": plan._asdict(), "by way and seed; accuracy by task": {n: dict(v) for n, v in found.items()}}
    return Finding(tuple(rows), verdict, remarks, tables=tables)


CLAIM = Claim(
    name="mu2net",
    paper="µ2Net, arXiv 2205.12755; muNet's numbers",
    statement="Evolving shared components is better than tuning a network for each task, smaller, and forgets nothing.",
    run=run,
    fast="three tasks of digits, two rounds, two size penalties, three seeds, 1 CPU minute",
    full="five tasks, three rounds, three size penalties, three seeds; continues; needs pip install scikit-image",
)
