"""TAG: groups from the affinities of one training, held against the whole table of training runs that they spare."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS, EVERY = 2, 10  # groups to find; steps between measurements, as in the paper's code
BETTER, GAP, CHEAPER = 0.10, 0.10, 11.6
"""What must be shown: test loss below training together, median gap to the optimum, and how much less is computed."""

# The affinities of one run, averages by evaluation, are kept under these names.
_AVERAGES = ("times", "mean", "squares")


class Setting(NamedTuple):
    """Units of the trunk, training rows, the correlation of two tasks of a cluster, and the optimiser."""

    units: int = 4
    rows: int = 600
    correlation: float = 0.8
    optimiser: Literal["adam", "sgd"] = "adam"

    def __str__(self) -> str:
        optimiser = "" if self.optimiser == "adam" else ", SGD"
        return f"{self.units} units, {self.rows} rows, ρ {self.correlation:g}{optimiser}"


MAIN = Setting()
GRID = (
    *(MAIN, MAIN._replace(units=8), MAIN._replace(rows=900), MAIN._replace(correlation=0.6)),
    *(Setting(8, 900, 0.6), MAIN._replace(optimiser="sgd")),
)
EARLY = 100  # steps: affinities of the beginning, before anything is overfitted
SUBSETS = np.array([[mask >> t & 1 for t in range(6)] for mask in range(1, 64)], bool)


class Arms(NamedTuple):
    """Mean test losses over the six tasks on one problem, by who trains with whom.

    - `together`, `alone`: one model for all; one for each.
    - `tag`: TAG's groups, each task served by the group that scores best for it; `cosine`: clusters by the cosine of
      the gradients of the same run; `random`: the mean over all partitions into two groups of two tasks or more.
    - `planted`: the clusters that the problem was made of.
    - `searched`: of all covers by two groups, the one that is best on the validation rows.
    - `optimum`: the one that is best on the test rows themselves: nothing can be below.

    `seen`, `seen_early`: the share of pairs, of an affinity within a cluster and one across, in which that within is
    the larger; of TAG's affinities, and of those of the first `EARLY` steps.
    """

    together: float
    alone: float
    tag: float
    cosine: float
    random: float
    planted: float
    searched: float
    optimum: float
    seen: float
    seen_early: float


def run(full: bool, output: Path, log: Log) -> Finding:
    """The published matrices, then planted problems of the notes' setting, then the settings around it."""
    from polytask.claims.parts import Parts

    rows = published_rows()
    steps, parts = (1_500 if full else 300), Parts(output, CLAIM.name)
    found: dict[Setting, list[Arms]] = {}
    tables: dict[str, Any] = {"subsets": SUBSETS.astype(int).tolist(), "steps": steps}
    chosen: list[tuple[tuple[int, ...], ...]] = []
    for setting in GRID if full else (MAIN,):
        # 0 and 1 served to choose the problem's functions.
        seeds = range(10, 20 if setting == MAIN else 15) if full else range(2, 4)
        trained: Trained | None = None
        found[setting], tables[str(setting)] = [], {}
        for seed in seeds:
            trained = trained or Trained(setting, steps)
            asked = {**setting._asdict(), "seed": seed, "steps": steps}
            result = parts.get(f"{'-'.join(map(str, setting))}-{seed}", asked, lambda s=seed, t=trained: t.tables(s))
            arms, groups = compare(result, steps)
            found[setting].append(arms)
            tables[str(setting)][seed] = {**arms._asdict(), "groups": groups, **_rounded(result)}
            if setting == MAIN:
                chosen.append(groups)
        mean = np.mean([arms.tag / arms.together - 1 for arms in found[setting]])
        log(f"{setting}: TAG {mean:+.0%} against training together, {len(seeds)} problems")
    parts.clear()
    cost = costs(chosen)
    rows += end_to_end_rows(found[MAIN], cost)
    rows += [row for setting in found if setting != MAIN for row in grid_rows(setting, found[setting])]
    tables["cost"] = cost
    return Finding(tuple(rows), verdict(found, cost), remarks(found, chosen), figures(found), tables)


def published_rows() -> list[Row]:
    """The best groupings of the published affinities. Raises AssertionError where they are not the published ones."""
    from polytask.affinity import best_grouping
    from polytask.claims.tag_published import GROUPINGS, published

    rows = []
    for (name, count), expected in GROUPINGS.items():
        tasks, affinity = published(name)
        best = best_grouping(affinity, count)
        groups = {frozenset(tasks[t] for t in group) for group in best.groups}
        if not best.optimal or groups != {frozenset(group) for group in expected}:
            raise AssertionError(f"{name} with {count} groups: {groups}")
        rows.append(Row(f"{name}, {count} groups: score of the grouping", best.score, paper="the same groups"))
    return rows


class Trained:
    """The program that trains all subsets of the tasks of a setting's problems, compiled once."""

    def __init__(self, setting: Setting, steps: int) -> None:
        import dataclasses

        from polytask.problems import settings
        from polytask.supervised import OptimiserConfig

        usual = settings("planted-clusters")
        trunk = dataclasses.replace(usual.trunk, width=setting.units)
        optimiser = usual.optimiser if setting.optimiser == "adam" else OptimiserConfig("sgd", learning_rate=1e-2)
        self.setting = setting
        self.config = dataclasses.replace(usual, trunk=trunk, optimiser=optimiser, steps=steps)
        self._program: Any = None

    def tables(self, seed: int) -> dict[str, np.ndarray]:
        """Test and validation losses (63 subsets, 6 tasks), and the affinities of one training of all six."""
        import dataclasses

        import jax
        import jax.numpy as jnp

        from polytask.combine import make_combiner
        from polytask.problems.planted import planted_clusters
        from polytask.supervised import Problem, fit
        from polytask.supervised.fitting import seed_key

        combiner, subsets = make_combiner("sum"), jnp.asarray(SUBSETS)
        measured = dataclasses.replace(self.config, affinity_every=EVERY)

        def program(problem: Problem, key: jax.Array) -> tuple:
            every = jax.vmap(lambda tasks: fit(problem, self.config, combiner, key, tasks))(subsets)
            own = fit(problem, measured, combiner, key)
            return every.test.loss, every.validation.loss, own.best_step, own.affinity

        self._program = self._program or jax.jit(program)
        problem = planted_clusters(seed, rows=self.setting.rows, correlation=self.setting.correlation)
        test, validation, best, affinity = jax.device_get(self._program(problem, seed_key(seed)))
        kept = {
            f"{measure}-{name}": getattr(affinity[measure], name)
            for measure in ("transference", "cosine")
            for name in _AVERAGES
        }
        return {"test": test, "validation": validation, "best_step": best, **kept}


def affinity_of(
    result: Mapping[str, np.ndarray], measure: str, steps: int, until: int | None = None
) -> Float[np.ndarray, "tasks tasks"]:
    """The mean up to the step at which training stopped early, as `polytask group` takes it, or up to another."""
    from polytask.affinity.averages import Averages
    from polytask.affinity.record import from_averages, pool

    periods = len(result[f"{measure}-mean"])
    every, names = steps // periods, [str(t) for t in range(6)]
    records = []
    for i in range(periods):
        averages = Averages(*(result[f"{measure}-{name}"][i] for name in _AVERAGES))
        records.append(from_averages(averages, (i + 1) * every, (i * every, (i + 1) * every), measure, names))
    return pool(records, measure, until=until or int(result["best_step"])).mean


def separated(affinity: Float[np.ndarray, "tasks tasks"]) -> float:
    """The share of pairs, of an affinity within a cluster and one across, in which that within is the larger."""
    cluster = np.arange(6) // 3
    same = cluster[:, None] == cluster[None]
    within, across = affinity[same & ~np.eye(6, dtype=bool)], affinity[~same]
    return float((within[:, None] > across[None]).mean())


def compare(result: Mapping[str, np.ndarray], steps: int) -> tuple[Arms, tuple[tuple[int, ...], ...]]:
    """Every way of grouping on one problem, from its table of training runs; and TAG's groups."""
    from polytask.affinity import best_grouping
    from polytask.affinity.baselines import by_similarity, each_alone, exhaustive, together, without_singles
    from polytask.affinity.scores import best_groups
    from polytask.problems.planted import CLUSTERS

    test, affinity = result["test"].astype(float), affinity_of(result, "transference", steps)
    cosine = affinity_of(result, "cosine", steps)
    validation = np.where(SUBSETS, -result["validation"], -np.inf)
    tag = best_grouping(affinity, GROUPS).groups
    clusters = without_singles(by_similarity(cosine, GROUPS), cosine)

    def loss(groups: Sequence[Sequence[int]], serving: Sequence[int] | None = None) -> float:
        """Mean test loss, each task served by the group that is named, or by its only one."""
        if serving is None:
            serving = [next(i for i, group in enumerate(groups) if t in group) for t in range(6)]
        return float(np.mean([test[_row(groups[g]), t] for t, g in enumerate(serving)]))

    searched = exhaustive(validation, GROUPS)[0]
    by_validation = [int(np.argmax([validation[_row(group), t] for group in searched])) for t in range(6)]
    return Arms(
        together=loss(together(6)),
        alone=loss(each_alone(6)),
        tag=loss(tag, best_groups(affinity, tag)),
        cosine=loss(clusters),
        random=float(np.mean([loss(groups) for groups in _partitions()])),
        planted=loss(CLUSTERS),
        searched=loss(searched, by_validation),
        optimum=-exhaustive(np.where(SUBSETS, -test, -np.inf), GROUPS)[1],
        seen=separated(affinity),
        seen_early=separated(affinity_of(result, "transference", steps, EARLY)),
    ), tag


def _row(group: Sequence[int]) -> int:
    return sum(1 << t for t in group) - 1


def _partitions() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All partitions of six tasks into two groups of two or more."""
    found = []
    for size in (2, 3):
        for group in itertools.combinations(range(6), size):
            rest = tuple(t for t in range(6) if t not in group)
            if size == 2 or 0 in group:
                found.append((group, rest))
    return found


def costs(chosen: Sequence[Sequence[Sequence[int]]]) -> dict[str, float]:
    """How much more the exhaustive search computes than TAG, in multiplications of the matrix products.

    For N rows, d inputs, w units and m tasks a step takes N w (2 d + 3 m), forward and backward without the inputs'
    gradient; a measurement a forward pass, N w (d + m), and for each task a backward and another forward pass.
    """
    inputs, tasks = 40, 6
    step = {m: 2 * inputs + 3 * m for m in range(1, tasks + 1)}
    exhaustive = sum(step[int(subset.sum())] for subset in SUBSETS)
    measured = step[tasks] + (1 + 2 * tasks) * (inputs + tasks) / EVERY
    groups = float(np.mean([sum(step[len(group)] for group in groups) for groups in chosen]))
    return {"to choose": exhaustive / measured, "to choose and to train": exhaustive / (measured + groups)}


def end_to_end_rows(found: Sequence[Arms], cost: Mapping[str, float]) -> list[Row]:
    """The losses of each way, and TAG against the others, paired by problem."""
    names = {
        "together": "all together",
        "alone": "each alone",
        "random": "random groups",
        "cosine": "groups by gradient cosine",
        "tag": "TAG's groups",
        "planted": "the planted groups",
        "searched": "searched, on validation rows",
        "optimum": "searched, on the test rows",
    }
    table, seeds = {name: np.array([getattr(arms, name) for arms in found]) for name in Arms._fields}, len(found)
    rows = [Row(f"test loss, {said}", *over_seeds(table[name]), seeds=seeds) for name, said in names.items()]
    published = {"together": "-10.0 % (Taskonomy, abstract)"}
    for name in ("together", "alone", "random", "cosine"):
        change = over_seeds(100 * (table["tag"] / table[name] - 1))
        rows.append(Row(f"TAG against {names[name]}, %", *change, published.get(name, ""), seeds))
    gap = 100 * (table["tag"] / table["optimum"] - 1)
    rows.append(Row("TAG's gap to the optimum, %", *over_seeds(gap), seeds=seeds))
    rows.append(Row("TAG's gap to the optimum, median, %", float(np.median(gap)), seeds=seeds))
    rows.append(Row("affinity larger within clusters, share of pairs", *over_seeds(table["seen"]), seeds=seeds))
    rows.append(Row(f"the same, first {EARLY} steps", *over_seeds(table["seen_early"]), seeds=seeds))
    for name, ratio in cost.items():
        paper = "11.6 (against another method)" if name == "to choose" else ""
        rows.append(Row(f"times the compute of TAG, {name}", ratio, paper=paper))
    return rows


def grid_rows(setting: Setting, found: Sequence[Arms]) -> list[Row]:
    """TAG against training together, and its gap, in another setting."""
    change = over_seeds(np.array([100 * (arms.tag / arms.together - 1) for arms in found]))
    gap = over_seeds(np.array([100 * (arms.tag / arms.optimum - 1) for arms in found]))
    return [
        Row(f"{setting}: TAG against together, %", *change, seeds=len(found)),
        Row(f"{setting}: gap to the optimum, %", *gap, seeds=len(found)),
    ]


def meets(found: Sequence[Arms]) -> bool:
    """Whether a setting meets both bars of loss: at least 10 % below training together, at most 10 % gap."""
    change = np.mean([arms.tag / arms.together - 1 for arms in found])
    gap = np.median([arms.tag / arms.optimum - 1 for arms in found])
    return bool(change <= -BETTER and gap <= GAP)


def verdict(found: Mapping[Setting, Sequence[Arms]], cost: Mapping[str, float]) -> Verdict:
    """The notes' setting decides; where most of the settings around it do not agree, the whole is mixed."""
    if not (meets(found[MAIN]) and cost["to choose"] >= CHEAPER):
        return "does not hold"
    return "holds" if 2 * sum(map(meets, found.values())) >= len(found) else "mixed"


def remarks(found: Mapping[Setting, Sequence[Arms]], chosen: Sequence[Sequence[Sequence[int]]]) -> tuple[str, ...]:
    """The counts, and what the setting is."""
    from polytask.problems.planted import CLUSTERS

    planted = sum(set(map(tuple, groups)) == set(CLUSTERS) for groups in chosen)
    beats = {setting: sum(arms.tag < arms.together for arms in all_arms) for setting, all_arms in found.items()}
    said = [
        f"TAG found the planted groups in {planted} of {len(chosen)} problems ({MAIN}).",
        "This setting was chosen because clusters matter in it: a trunk too small for all six tasks. The teacher's "
        "functions are ours, chosen on data seeds 0 and 1, which are not among these.",
    ]
    if len(found) > 1:
        better = ", ".join(f"{setting}: {count} of {len(found[setting])}" for setting, count in beats.items())
        said.append(f"Settings that meet both bars of loss: {sum(map(meets, found.values()))} of {len(found)}.")
        said.append(f"Problems in which TAG's groups beat training together: {better}.")
    return tuple(said)


def figures(found: Mapping[Setting, Sequence[Arms]]) -> "dict[str, Figure]":
    """The ways of grouping on each problem of the main setting, and TAG in all settings."""
    from polytask.claims.drawing import MUTED, SERIES, draw

    shown = {"together": "together", "alone": "alone", "random": "random", "cosine": "cosine", "tag": "TAG"}
    shown |= {"searched": "searched", "optimum": "optimum"}

    def fill(left: Any, right: Any) -> None:
        for x, name in enumerate(shown):
            values = np.array([getattr(arms, name) for arms in found[MAIN]])
            spread = np.linspace(-0.2, 0.2, len(values))
            left.plot(x + spread, values, ".", color=SERIES[1] if name == "tag" else SERIES[0], markersize=5)
            left.plot([x - 0.3, x + 0.3], [values.mean()] * 2, color=SERIES[1] if name == "tag" else SERIES[0])
        left.set_xticks(range(len(shown)), list(shown.values()), rotation=40, ha="right", rotation_mode="anchor")
        left.set(ylabel="mean test loss", title=str(MAIN))
        left.set_ylim(bottom=0)
        ordered = list(found)[::-1]
        for y, setting in enumerate(ordered):
            for offset, colour, base in ((0.15, SERIES[1], "together"), (-0.15, SERIES[2], "optimum")):
                mean = over_seeds(np.array([100 * (arms.tag / getattr(arms, base) - 1) for arms in found[setting]]))
                low, high = (mean.value, mean.value) if mean.low is None else (mean.low, mean.high)
                right.plot([low, high], [y + offset] * 2, color=colour, linewidth=1.5)
                label = f"against {'training together' if base == 'together' else 'the optimum'}"
                right.plot(mean.value, y + offset, "o", color=colour, markersize=5, label=label if not y else None)
        right.axvline(0, color=MUTED, linewidth=0.8)
        right.set_yticks(range(len(ordered)), [str(setting) for setting in ordered])
        right.set(xlabel="test loss of TAG's groups, %", ylim=(-0.6, len(ordered) + 0.4))
        right.legend(frameon=False, fontsize=9, loc="upper right")

    return {"groups": draw(fill, 11, 4.2, columns=2)}


def _rounded(result: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The whole table of one problem, four digits; null where a task takes no part."""

    def listed(losses: np.ndarray) -> list[list[float | None]]:
        rows = zip(losses, SUBSETS, strict=True)
        return [[float(f"{x:.4g}") if t else None for x, t in zip(*row, strict=True)] for row in rows]

    tables = {name: listed(result[name]) for name in ("test", "validation")}
    return {**tables, "best_step": int(result["best_step"])}


CLAIM = Claim(
    name="tag",
    paper="TAG, arXiv 2109.04617",
    statement="One training with affinities measured tells which tasks to train together: the groups beat training all "
    "together and come close to the best grouping, at a fraction of the compute.",
    run=run,
    fast="the published matrices, two planted problems with short training runs, 15 s",
    full="ten planted problems with all 63 subsets trained, and five in each of five settings, 5 min",
)
