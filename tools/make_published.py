"""Makes src/polytask/report/published/*.json: figures of the learning curves published with the official BRC code.

    python tools/make_published.py path/to/brc_published_curves.npz

The input holds the raw seeds and stays outside the project (shared/goldens/README.md); the project carries means,
spreads and, for the named groups of tasks, aggregates with their intervals. Nothing at run time needs this script.
"""

import json
import sys
from pathlib import Path

import numpy as np

from polytask.evaluation.statistics import aggregate_curve, interquartile_mean, task_mean

SOURCE = {
    "source": "Nauman et al., Bigger, Regularized, Categorical (arXiv 2505.23150): results/ of the official code",
    "repository": "https://github.com/naumix/BiggerRegularizedCategorical",
    "commit": "eec512f",
    "licence": "MIT",
    "figures": "mean and std: over seeds (population std). Groups: mean over tasks, interquartile mean (IQM), "
    "and their 95 % stratified-bootstrap bounds. The step axis is inferred: an evaluation every 25,000 steps.",
}
MT10 = (
    "reach push pick-place door-open drawer-open drawer-close button-press-topdown peg-insert-side "
    "window-open window-close"
)
MT25 = (
    f"{MT10} coffee-pull pick-out-of-hole disassemble pick-place-wall basketball stick-pull button-press-wall "
    "faucet-open door-lock lever-pull sweep-into faucet-close coffee-button button-press-topdown-wall dial-turn"
)
DOGS = "dog-run dog-stand dog-trot dog-walk"
HUMANOIDS = "humanoid-run humanoid-stand humanoid-walk"
GROUPS = {
    "metaworld": {"mt10": MT10, "mt25": MT25},
    "dmc": {"dogs": DOGS, "humanoids": HUMANOIDS, "dogs and humanoids": f"{DOGS} {HUMANOIDS}"},
}
FACTS = {
    ("metaworld", "multi"): (
        "BRC MT50, published",
        "one agent on all 50 Meta-World v2 tasks, one frozen goal per task, horizon 200",
    ),
    ("metaworld", "single"): (
        "BRC single-task, published",
        "one agent per Meta-World v2 task, one frozen goal per task, horizon 200",
    ),
    ("dmc", "multi"): (
        "BRC multi-task, published",
        "one agent on the four dog tasks, another on the three humanoid tasks",
    ),
    ("dmc", "single"): ("BRC single-task, published", "one agent per task"),
}
STEPS = list(range(25_000, 500_001, 25_000))


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in values]


def aggregates(scores: np.ndarray) -> dict[str, list[float]]:
    """Mean and IQM of scores (seeds, tasks, evaluations), with bounds."""
    found = {}
    for name, statistic in (("mean", task_mean), ("iqm", interquartile_mean)):
        curve = aggregate_curve(scores, statistic, rng=np.random.default_rng(0))
        found |= {name: rounded(curve.value), f"{name}_low": rounded(curve.low), f"{name}_high": rounded(curve.high)}
    return found


def published(arrays: dict[str, np.ndarray], suite: str, agents: str) -> dict:
    scale = 1000.0 if suite == "dmc" else 1.0
    prefix = f"{suite}/{agents}/"
    scores = {k.removeprefix(prefix): v.astype(np.float64) / scale for k, v in arrays.items() if k.startswith(prefix)}
    groups = {name: tasks.split() for name, tasks in GROUPS[suite].items()}
    if suite == "metaworld":
        groups["mt50"] = sorted(scores)
    label, protocol = FACTS[suite, agents]
    return {
        "label": label,
        "protocol": protocol,
        **SOURCE,
        "suite": suite,
        "agents": agents,
        "score": "success rate (success at any step)" if suite == "metaworld" else "return / 1000",
        "seeds": len(next(iter(scores.values()))),
        "steps": STEPS,
        "tasks": {t: {"mean": rounded(s.mean(0)), "std": rounded(s.std(0))} for t, s in sorted(scores.items())},
        "groups": {
            name: {"tasks": tasks, **aggregates(np.stack([scores[t] for t in tasks], axis=1))}
            for name, tasks in groups.items()
        },
    }


def main(source: Path, folder: Path) -> None:
    with np.load(source) as loaded:
        arrays = {k: loaded[k] for k in loaded.files if k.startswith(("dmc/", "metaworld/"))}
    folder.mkdir(parents=True, exist_ok=True)
    for suite, agents in FACTS:
        text = json.dumps(published(arrays, suite, agents), separators=(",", ":"))
        (folder / f"{suite}_{agents}.json").write_text(text.replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent.parent / "src/polytask/report/published")
