"""Whether training together hurts tasks of Meta-World, and whether groups or a combiner mend it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds
from polytask.claims.training_runs import FAST_TASKS, small, successes, train_once

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from polytask.online.config import TrainConfig
    from polytask.training.groups import TaskGroup

# The five with the worst published gaps between one agent for fifty tasks and an agent each, at 500,000 steps (0.38,
# 0.60, 0.20, 0.60, 0.56 against 0.97, 1.00, 0.60, 0.97, 0.87), and five that either learns within 100,000 steps.
WORST = ("coffee-push", "coffee-pull", "assembly", "bin-picking", "basketball")
EASY = ("reach", "drawer-close", "door-close", "coffee-button", "button-press-topdown")
TASKS = tuple(f"metaworld/{name}-v3" for name in (*WORST, *EASY))
# BRC small enough that 54 runs end within an evening.
SIZES = {"critic_width": 128, "actor_width": 128, "batch_size": 128}
LENGTH = {"steps": 20_000, "warmup_steps": 2_000, "eval_every": 2_500}
ARMS = ("together", "alone", "TAG groups", "random groups", "pcgrad")
FAST_ARMS = ("together", "TAG groups")
SEEDS, GROUPS, LAST = range(3), 3, 3  # LAST: evaluations whose mean counts


def configuration(full: bool, arm: str, seed: int) -> "TrainConfig[Any]":
    """The training of one arm and seed: arms differ in their groups and their combiner only."""
    from polytask.agents.config import BRCConfig
    from polytask.online.config import TrainConfig

    config = TrainConfig(("metaworld/mt10",), BRCConfig())
    agent = dataclasses.replace(config.agent, **SIZES)
    if arm == "pcgrad":
        agent = dataclasses.replace(agent, critic_combiner="pcgrad", actor_combiner="pcgrad")
    # Measuring changes nothing in what is learned.
    every = 100 if arm == "together" else 0
    config = dataclasses.replace(config, tasks=TASKS, agent=agent, seed=seed, affinity_every=every, tensorboard=False)
    if full:
        return dataclasses.replace(config, **LENGTH)
    return dataclasses.replace(small(config), eval_every=120, eval_episodes=1, affinity_every=every // 10)


def groups_of(arm: str, tasks: Sequence[str], seed: int, together: Path) -> "list[TaskGroup]":
    """The groups of an arm; none where one agent learns all. TAG's come from the run that learned all together."""
    from polytask import random
    from polytask.affinity import best_grouping
    from polytask.affinity.baselines import each_alone, random_groupings
    from polytask.affinity.record import pool
    from polytask.runs.affinity_log import read_affinity
    from polytask.training.groups import TaskGroup

    if arm in ("together", "pcgrad"):
        return []
    count = min(GROUPS, len(tasks) - 1)
    if arm == "alone":
        found = each_alone(len(tasks))
    elif arm == "random groups":
        found = random_groupings(len(tasks), count, 1, random.generator(seed, "negative transfer: groups"))[0]
    else:
        records, _, _ = read_affinity(together)
        pooled = pool(records, "transference", "critic")
        assert pooled.tasks == tuple(tasks)
        # Without overlap every task is trained once, as in the other arms. Alone is as good as no other task.
        found = best_grouping(pooled.mean, groups=count, overlap=False, alone=0.0).groups
    named = [tuple(tasks[t] for t in group) for group in found]
    return [TaskGroup(group, group) for group in named]


def run(full: bool, output: Path, log: Log) -> Finding:
    """An arm after the other for each seed, in folders that a later run continues; then their success."""
    tasks, arms, seeds = (TASKS, ARMS, SEEDS) if full else (FAST_TASKS, FAST_ARMS, range(1))
    folder = output / f"{CLAIM.name}-{'full' if full else 'fast'}"
    found: dict[str, list[np.ndarray]] = {arm: [] for arm in arms}
    members: dict[str, list[list[tuple[str, ...]]]] = {arm: [] for arm in arms}
    for seed in seeds:
        for arm in arms:
            groups = groups_of(arm, tasks, seed, folder / f"together-seed{seed}")
            place = folder / f"{arm.replace(' ', '-').lower()}-seed{seed}"
            train_once(configuration(full, arm, seed), place, groups)
            found[arm].append(successes(place, tasks, LAST))
            members[arm].append([group.tasks for group in groups] or [tuple(tasks)])
            log(f"{arm}, seed {seed}: success {found[arm][-1].mean():.3f}")
    steps = configuration(full, "together", 0).steps
    return finding({arm: np.array(values) for arm, values in found.items()}, members, tasks, steps)


def finding(
    found: Mapping[str, Float[np.ndarray, "seeds tasks"]],
    members: Mapping[str, Any],
    tasks: Sequence[str],
    steps: int,
) -> Finding:
    """Mean success of each arm, and its paired difference from all together."""
    seeds = len(found["together"])
    published = _published(tasks, steps)
    rows = [
        Row(f"{arm}: success", *over_seeds(values.mean(1)), paper=published.get(arm, ""), seeds=seeds)
        for arm, values in found.items()
    ]
    differences = {arm: values - found["together"] for arm, values in found.items() if arm != "together"}
    rows += [Row(f"{arm} - together", *over_seeds(values.mean(1)), seeds=seeds) for arm, values in differences.items()]
    verdicts: dict[int, Verdict] = {-1: "does not hold", 0: "no difference seen", 1: "holds"}
    gap = over_seeds(differences["alone"].mean(1)).sign if "alone" in differences else 0
    remarks = [
        "The verdict is on negative transfer: whether tasks alone succeed more often than together. All arms have the "
        f"same environment steps of each task ({steps:,}), and each agent the same updates, of as many rows, as any "
        "other: a task alone has all rows of its updates, tasks together share them.",
    ]
    if seeds == 1:
        remarks.append("One seed says nothing about differences: the full mode has several.")
    tables = {
        "tasks": list(tasks),
        "success, by arm, seed and task": dict(found),
        "groups": members,
        "difference from together, by task": {arm: values.mean(0) for arm, values in differences.items()},
    }
    figures = {"tasks": _figure(found, tasks)}
    return Finding(tuple(rows), verdicts[gap], tuple(remarks), figures, tables)


def _published(tasks: Sequence[str], steps: int) -> dict[str, str]:
    """The mean of the published curves over these tasks at these steps, where they reach that far."""
    from polytask.report.published import published_for
    from polytask.tasks.registry import resolve

    found = {}
    for arm, agents, what in (("together", "multi", "50 tasks"), ("alone", "single", "BRC")):
        curves = published_for(list(resolve(tuple(tasks))), agents)
        point = curves.index_at(steps) if curves else None
        if curves and point is not None and curves.mean is not None:
            found[arm] = f"{curves.mean[point]:.3f} ({what}, width 4096)"
    return found


def _figure(found: Mapping[str, Float[np.ndarray, "seeds tasks"]], tasks: Sequence[str]) -> "Figure":
    from polytask.claims.drawing import SERIES, draw

    def fill(axes: "Axes") -> None:
        places = np.arange(len(tasks))[::-1]
        for number, (arm, values) in enumerate(found.items()):
            shifted = places + 0.3 - 0.6 * number / max(len(found) - 1, 1)
            axes.plot(values.mean(0), shifted, "o", color=SERIES[number], markersize=5, label=arm)
        names = [task.removeprefix("metaworld/").removesuffix("-v3") for task in tasks]
        axes.set_yticks(places, names)
        axes.set(xlabel="success", xlim=(-0.03, 1.03))
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return draw(fill, 8, 1.2 + 0.4 * len(tasks))


CLAIM = Claim(
    name="negative-transfer",
    paper="BRC, arXiv 2505.23150 (its published curves)",
    statement="On ten tasks of Meta-World one agent for all succeeds less often than an agent for each.",
    run=run,
    fast="two arms on three tasks, one seed, 120 steps, 30 CPU seconds",
    full="five arms, three seeds, 20,000 steps, critics 128 wide: 54 runs, 5 CPU hours; continues where interrupted",
)
