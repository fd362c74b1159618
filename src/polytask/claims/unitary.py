"""Unitary scalarization, the plain sum, against every other combiner, at equal tuning."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import equivalence, over_seeds
from polytask.claims.parts import Parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from polytask.supervised import Problem, SupervisedConfig

METHODS = (
    *("rlw", "uw", "dwa", "gls", "imtl_l", "stch", "famo", "gradnorm", "mgda", "pcgrad", "gradvac", "graddrop"),
    *("cagrad", "imtl_g", "nash_mtl", "fairgrad", "aligned", "upgrad", "dual_proj", "config", "db_mtl", "moco"),
    "excess_mtl",
)
LEFT_OUT = {
    "mean": "the sum at another scale",
    "constant": "the sum with weights to be given",
    "it_mtl": "has a claim of its own",
    "lps": "came after these runs",
    "modo": "needs an independent batch, which the trainer does not draw",
    "sdmgrad": "needs an independent batch, which the trainer does not draw",
}
FAST = ("pcgrad",)
COSTED = ("rlw", "graddrop", "imtl_g", "mgda", "cagrad", "pcgrad")
STEPS = {"multidigits": 600, "digit-attributes-10": 400}
FAST_STEPS = {"digit-attributes-2": 10}
RATES = (1e-3, 2e-3, 5e-3, 1e-2)
SEEDS, TUNING = tuple(range(8)), (100, 101)
MARGIN = 0.5  # points of the mean score: two methods that differ by less count as equal

Scores = Callable[[Sequence[float], Sequence[int]], tuple[np.ndarray, np.ndarray]]


def trainer(problem: "Problem", config: "SupervisedConfig", method: str) -> Scores:
    """(learning rates, seeds), one of each for every run, to the scores of the parameters that the validation rows
    chose: on validation rows and on test rows, (runs,), in points, the mean over tasks. All runs are one program."""
    import jax
    import jax.numpy as jnp

    from polytask.combine import make_combiner
    from polytask.supervised import fit
    from polytask.supervised.fitting import seed_key
    from polytask.supervised.training import steps_per_epoch

    # DWA looks at means over epochs, as its paper does.
    options: dict[str, Any] = (
        {"period": steps_per_epoch(problem.train.inputs.shape[0], config)} if method == "dwa" else {}
    )
    combiner = make_combiner(method, **options)

    def one(problem: "Problem", rate: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = fit(problem, config, combiner, key, learning_rate=rate)
        return found.validation.score, found.test.score

    program = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))

    def scores(rates: Sequence[float], seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        keys = jnp.stack([seed_key(seed) for seed in seeds])
        found = program(problem, jnp.asarray(rates, jnp.float32), keys)
        # Zero is what a constant answer scores in R²; a run that diverged does no better.
        validation, test = (100 * np.nan_to_num(np.asarray(part)).mean(1) for part in found)
        return validation, test

    return scores


def tuned(problem: "Problem", config: "SupervisedConfig", method: str) -> dict[str, np.ndarray]:
    """The learning rate that is best on the validation rows, and the scores that fresh seeds reach with it."""
    scores = trainer(problem, config, method)
    # As many runs as there are seeds, so that one program serves both.
    pairs = [(rate, seed) for rate in RATES for seed in TUNING]
    validation, _ = scores(*zip(*pairs, strict=True))
    by_rate = validation.reshape(len(RATES), len(TUNING)).mean(1)
    rate = RATES[int(by_rate.argmax())]
    _, test = scores([rate] * len(SEEDS), SEEDS)
    return {"test": test, "learning rate": np.array(rate), "validation by rate": by_rate}


def run(full: bool, output: Path, log: Log) -> Finding:
    """Every method on both problems, then the cost of a step; what is done is kept in `output` until all is."""
    from polytask.claims.step_cost import costs
    from polytask.problems import resolve
    from polytask.supervised import OptimiserConfig, SupervisedConfig, TrunkConfig

    methods, problems = (METHODS, STEPS) if full else (FAST, FAST_STEPS)
    parts = Parts(output, CLAIM.name)
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for name, steps in problems.items():
        problem = resolve(f"problems/{name}")
        found[name] = {}
        for method in ("sum", *methods):
            config = SupervisedConfig(
                trunk=TrunkConfig(width=64),
                optimiser=OptimiserConfig(),
                batch_size=128,
                steps=steps,
                eval_every=min(50, steps),
                select="score",
            )
            settings = {"steps": config.steps, "rates": RATES, "seeds": SEEDS, "tuning": TUNING}
            made = parts.get(f"{name}-{method}", settings, lambda p=problem, c=config, m=method: tuned(p, c, m))
            found[name][method] = made
            log(f"{name}, {method}: {made['test'].mean():.2f} at {float(made['learning rate']):g}")
    cost = costs(COSTED if full else FAST, full, log)
    parts.clear()
    return _finding(found, cost)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values corrected for their number, step by step (Holm 1979)."""
    p = np.asarray(p_values, float)
    order = p.argsort()
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def compare(found: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]) -> list[dict[str, Any]]:
    """Each method against the sum on each problem, paired over seeds.

    "better", "worse": one-sided paired t tests, corrected together for all comparisons; "equivalent": two one-sided
    tests at `MARGIN`, each comparison for itself.
    """
    from scipy import stats

    made = []
    for problem, by_method in found.items():
        base = by_method["sum"]["test"]
        for method, result in by_method.items():
            if method == "sum":
                continue
            difference = result["test"] - base
            same = equivalence(difference, MARGIN)
            greater: Any = stats.ttest_1samp(difference, 0.0, alternative="greater")
            less: Any = stats.ttest_1samp(difference, 0.0, alternative="less")
            made.append(
                {
                    "problem": problem,
                    "method": method,
                    "difference": over_seeds(difference)._asdict(),
                    "p better": float(greater.pvalue),
                    "p worse": float(less.pvalue),
                    "p equivalent": same.p,
                    "learning rate": float(result["learning rate"]),
                    "scores": result["test"],
                }
            )
    for side in ("better", "worse"):
        for entry, p in zip(made, holm([entry[f"p {side}"] for entry in made]), strict=True):
            entry[side] = bool(p < 0.05)
    for entry in made:
        entry["equivalent"] = entry["p equivalent"] < 0.05
    return made


def judge(compared: Sequence[Mapping[str, Any]]) -> Verdict:
    """Whether no method consistently beats the sum: none on every problem ("mixed": some on one)."""
    methods = {entry["method"]: [] for entry in compared}
    for entry in compared:
        methods[entry["method"]].append(entry["better"])
    if any(all(better) for better in methods.values()):
        return "does not hold"
    return "mixed" if any(any(better) for better in methods.values()) else "holds"


def _finding(found: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]], cost: list[dict[str, Any]]) -> Finding:
    compared = compare(found)
    rows = [Row(f"{p}: sum, mean score", *over_seeds(by["sum"]["test"]), seeds=len(SEEDS)) for p, by in found.items()]
    for entry in compared:
        label = f"{entry['problem']}: {entry['method']} - sum"
        rows.append(Row(label, *entry["difference"].values(), seeds=len(SEEDS)))
    for entry in cost:
        label = f"step, {entry['tasks']} tasks: {entry['method']} / sum"
        rows.append(Row(label, entry["ratio"], paper=entry["paper"]))
    remarks = [_said(compared, kind) for kind in ("better", "worse", "equivalent")]
    remarks.append(
        f"Better and worse at 5 %, corrected for {len(compared)} comparisons; equivalent within ±{MARGIN} points by "
        "two one-sided tests at 5 %, each for itself. The scores are accuracies, and R² for the regressions, in points."
    )
    tables = {
        "comparisons": compared,
        "sum": {problem: by_method["sum"] for problem, by_method in found.items()},
        "margin": MARGIN,
        "costs": cost,
        "left out": LEFT_OUT,
    }
    figures = {"differences": _forest(compared), "costs": _cost_figure(cost)}
    return Finding(tuple(rows), judge(compared), tuple(remarks), figures, tables)


def _said(compared: Sequence[Mapping[str, Any]], kind: str) -> str:
    found = [f"{entry['method']} ({entry['problem']})" for entry in compared if entry[kind]]
    what = {"better": "Better than the sum", "worse": "Worse than the sum", "equivalent": "Equivalent to the sum"}[kind]
    return f"{what}: {', '.join(found) if found else 'none'}."


def _forest(compared: Sequence[Mapping[str, Any]]) -> "Figure":
    from polytask.claims.drawing import GRID, INK, MUTED, SERIES, draw

    problems = list(dict.fromkeys(entry["problem"] for entry in compared))

    def fill(*panels: "Axes") -> None:
        for axes, problem in zip(panels, problems, strict=True):
            entries = [entry for entry in compared if entry["problem"] == problem][::-1]
            axes.axvspan(-MARGIN, MARGIN, color=GRID, zorder=0)
            axes.axvline(0, color=MUTED, linewidth=1)
            for height, entry in enumerate(entries):
                value, low, high = entry["difference"].values()
                colour = SERIES[1] if entry["worse"] else SERIES[2] if entry["better"] else INK
                axes.plot([low, high], [height, height], color=colour)
                axes.plot(value, height, "o", color=colour, markersize=5)
            axes.set_yticks(range(len(entries)), [entry["method"] for entry in entries])
            axes.grid(False)
            axes.set_xscale("symlog", linthresh=2, linscale=2)
            least = min(-1.0, *(entry["difference"]["low"] for entry in entries)) - 0.2
            most = max(1.0, *(entry["difference"]["high"] for entry in entries)) + 0.2
            ticks = [tick for tick in (-50, -20, -10, -5, -2, -1, 0, 1, 2, 5) if least <= tick <= most]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xlim(least, most)
            axes.minorticks_off()
            axes.set_xlabel("points above the sum")
            axes.set_title(problem, loc="left", fontsize=11)

    return draw(fill, 5 * len(problems), 1.6 + 0.24 * len(compared) / len(problems), columns=len(problems))


def _cost_figure(cost: Sequence[Mapping[str, Any]]) -> "Figure":
    from polytask.claims.drawing import SERIES, draw

    def fill(axes: "Axes") -> None:
        for colour, method in zip(SERIES, dict.fromkeys(entry["method"] for entry in cost), strict=False):
            entries = [entry for entry in cost if entry["method"] == method]
            axes.plot([e["tasks"] for e in entries], [e["ratio"] for e in entries], "o-", color=colour, label=method)
        ticks = sorted({entry["tasks"] for entry in cost})
        axes.set(xscale="log", yscale="log", xlabel="tasks", ylabel="time of a step / that of the sum")
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        axes.minorticks_off()
        axes.legend(frameon=False)

    return draw(fill, 5, 4)


CLAIM = Claim(
    name="unitary-scalarization",
    paper="In Defense of the Unitary Scalarization, arXiv 2201.04122",
    statement="With early stopping and a tuned learning rate, no combiner consistently outperforms the plain sum.",
    run=run,
    fast="one combiner on two heads, 10 steps, 15 s",
    full="23 combiners on two problems, eight seeds, 17 CPU minutes",
)
