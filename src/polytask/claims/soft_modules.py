"""Whether routing beats capacity: soft modules beside plain networks on MT10, under SAC and under BRC."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds
from polytask.claims.training_runs import small, train_once

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from polytask.online.config import TrainConfig

SOFT, HEADS, PLAIN = "soft modules", "multi-head, equal parameters", "plain"
NETWORKS: dict[str, tuple[str, str, int, int]] = {  # trunk, conditioning, width, depth
    SOFT: ("soft-modules", "one-hot", 256, 2),
    HEADS: ("mlp", "one-hot-multi-head", 550, 3),
    PLAIN: ("mlp", "one-hot", 400, 3),
}
AGENTS = ("sac", "brc")
CONSTANTS = {"batch_size": 256, "updates_per_step": 1, "learning_rate": 1e-3, "tau": 0.02}
SEEDS, LAST = range(3), 3  # LAST: evaluations whose mean counts
PUBLISHED = {
    SOFT: "0.33 ± 0.04 (CARE, 100k); 0.812 (McLean, 20M)",
    HEADS: "0.17 ± 0.03 (CARE, 100k, smaller); 0.857 (McLean, 20M)",
    PLAIN: "0.13 ± 0.02 (CARE, 100k)",
}


class Curve(NamedTuple):
    """Mean success over the tasks at each evaluation of a run, and what its updates took."""

    steps: Int[np.ndarray, " evaluations"]
    success: Float[np.ndarray, " evaluations"]
    update_seconds: float  # of one environment step of all tasks

    def until(self, steps: float) -> float:
        """The mean of the last evaluations up to a step; of the first one where that comes later."""
        count = max(int((self.steps <= steps).sum()), 1)
        return float(self.success[:count][-LAST:].mean())


def configuration(full: bool, agent: str, network: str, seed: int) -> "TrainConfig[Any]":
    """The training of one agent, network and seed; all else is alike, the constants too."""
    from polytask.agents.registry import agent_config
    from polytask.online.config import SMALL, preset

    trunk, conditioning, width, depth = NETWORKS[network]
    own: dict[str, Any] = {"trunk": trunk, "conditioning": conditioning, **CONSTANTS}
    if agent == "sac":
        own |= {"width": width, "depth": depth}
    else:
        sizes = {"critic_width": width, "critic_depth": depth, "actor_width": width, "actor_depth": depth}
        own = {**SMALL, **own, **sizes}
    base = preset("cpu")  # BRC's tasks and sampling, for both
    config = dataclasses.replace(base, agent=agent_config(agent, **own), seed=seed, tensorboard=False)
    if full:
        return config
    tiny = dataclasses.replace(small(base), agent=config.agent, seed=seed, tensorboard=False)
    shrunk = {"batch_size": 16, **({"width": 8} if agent == "sac" else {"critic_width": 8, "actor_width": 8})}
    agent_small = dataclasses.replace(config.agent, **shrunk)
    return dataclasses.replace(tiny, agent=agent_small, eval_every=60, eval_episodes=1)


def curve(run: Path) -> Curve:
    """Of a run that has ended."""
    from polytask.runs.folder import EVALUATIONS, METRICS, read_jsonl

    records, last = read_jsonl(run / EVALUATIONS), read_jsonl(run / METRICS)[-1]
    success = [np.mean([np.mean(won) for won in record["task"]["success"].values()]) for record in records]
    return Curve(
        np.array([record["step"] for record in records]), np.array(success), last["time"]["update"] / last["step"]
    )


def run(full: bool, output: Path, log: Log) -> Finding:
    """Every network under every agent, seed after seed, in folders that a later run continues."""
    folder = output / f"{CLAIM.name}-{'full' if full else 'fast'}"
    found: dict[tuple[str, str], list[Curve]] = {cell: [] for cell in itertools.product(AGENTS, NETWORKS)}
    for seed in SEEDS if full else range(1):
        for agent, network in found:
            place = folder / f"{agent}-{network.split(',')[0].replace(' ', '-')}-seed{seed}"
            train_once(configuration(full, agent, network, seed), place)
            found[agent, network].append(curve(place))
            log(f"{agent}, {network}, seed {seed}: success {found[agent, network][-1].until(np.inf):.3f}")
    return finding(found)


def finding(found: Mapping[tuple[str, str], list[Curve]]) -> Finding:
    """Success at the last step, and soft modules' paired differences after equal steps and in equal time."""
    rows, signs = [], []
    seeds = len(next(iter(found.values())))
    for agent in AGENTS:
        curves = {network: found[agent, network] for network in NETWORKS}
        took = {network: float(np.median([c.update_seconds for c in own])) for network, own in curves.items()}
        final = {network: np.array([c.until(np.inf) for c in own]) for network, own in curves.items()}
        for network, success in final.items():
            paper = PUBLISHED[network] if agent == "sac" else ""
            rows.append(Row(f"{agent}, {network}: success", *over_seeds(success), paper=paper, seeds=seeds))
        for network in (HEADS, PLAIN):
            # The cheaper one takes all its steps, the dearer as many as fit into the same time.
            least, last = min(took[SOFT], took[network]), curves[SOFT][0].steps[-1]
            timed = [np.array([c.until(last * least / took[name]) for c in curves[name]]) for name in (SOFT, network)]
            steps, time = over_seeds(final[SOFT] - final[network]), over_seeds(timed[0] - timed[1])
            rows.append(Row(f"{agent}: {SOFT} - {network}, equal steps", *steps, seeds=seeds))
            rows.append(Row(f"{agent}: {SOFT} - {network}, equal time of updates", *time, seeds=seeds))
            rows.append(Row(f"{agent}: time of an update, {SOFT} / {network}", took[SOFT] / took[network]))
            if network == HEADS:
                signs.append(steps.sign)
    verdicts: dict[tuple[int, ...], Verdict] = {(1,): "holds", (-1,): "does not hold", (0,): "no difference seen"}
    remarks = [
        "The verdict is on routing against capacity: soft modules against a multi-head network of as many parameters, "
        "after equal steps, under either agent.",
        "Published beside: CARE's rows, as third parties transcribe them, are at 100,000 steps with the first "
        "version of Meta-World's rewards and batches of 1280; McLean's, interquartile means of the values in its "
        "code, after 20 million steps in all with the second. Ours is early training with the second and batches of "
        "256, its learning rate and tau those that preset cpu found for BRC, the same for every network.",
    ]
    if seeds == 1:
        remarks.append("One seed says nothing about differences: the full mode has several.")
    tables = {
        "networks": {
            name: dict(zip(("trunk", "conditioning", "width", "depth"), n, strict=True)) for name, n in NETWORKS.items()
        },
        "curves": {f"{agent}, {network}": [c._asdict() for c in own] for (agent, network), own in found.items()},
    }
    verdict = verdicts.get(tuple(sorted(set(signs))), "mixed")
    return Finding(tuple(rows), verdict, tuple(remarks), {"curves": _figure(found)}, tables)


def _figure(found: Mapping[tuple[str, str], list[Curve]]) -> "Figure":
    from polytask.claims.drawing import SERIES, draw

    def fill(*axes: "Axes") -> None:
        for place, agent in zip(axes, AGENTS, strict=True):
            for network, colour in zip(NETWORKS, SERIES, strict=False):
                curves = found[agent, network]
                successes = np.array([c.success for c in curves])
                place.plot(curves[0].steps, successes.mean(0), color=colour, label=network)
                place.fill_between(curves[0].steps, successes.min(0), successes.max(0), color=colour, alpha=0.15)
            place.set(xlabel="environment steps per task", title=agent.upper(), ylim=(-0.03, 1.03))
        axes[0].set_ylabel("success, mean and range over seeds")
        axes[0].legend(frameon=False)

    return draw(fill, 9, 3.4, columns=len(AGENTS))


CLAIM = Claim(
    name="soft-modules",
    paper="Soft modularization, arXiv 2003.13661; McLean et al. 2025",
    statement="On MT10 networks that route between modules succeed more often than a multi-head one of equal size.",
    run=run,
    fast="three networks under two agents, three tasks, one seed, 120 steps, 3 CPU minutes",
    full="three networks under two agents, three seeds, 100,000 steps: 18 runs, about two days of one core; continues",
)
