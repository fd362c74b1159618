"""Procgen (Cobbe et al. 2020, arXiv 1912.01588) in EnvPool: games whose levels are drawn anew for each episode."""

from typing import TYPE_CHECKING

from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Choices, Image
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import EnvPoolTask, Suite

if TYPE_CHECKING:
    import gymnasium

HORIZON = 1000
ACTIONS = 15

# Game, the lowest and highest returns by which the paper normalises (appendix C), easy and hard, and further modes.
_TABLE = """
bigfish 1 40 0 40, bossfight .5 13 .5 13, caveflyer 3.5 12 2 13.4 memory exploration, chaser .5 13 .5 14.2 extreme,
climber 2 12.6 1 12.6 exploration, coinrun 5 10 5 10 exploration, dodgeball 1.5 19 1.5 19 extreme memory,
fruitbot -1.5 32.4 -.5 27.2, heist 3.5 10 2 10 memory exploration, jumper 3 10 1 10 memory exploration,
leaper 3 10 1.5 10 extreme exploration, maze 5 10 4 10 memory exploration, miner 1.5 13 1.5 20 memory,
ninja 3.5 10 2 10 exploration, plunder 4.5 30 3 30, starpilot 2.5 64 1.5 35 extreme
"""
_ROWS = [row.split() for row in _TABLE.split(",")]
SCORES = {
    f"{game}-{mode}": (float(numbers[i]), float(numbers[i + 1]))
    for game, *numbers in _ROWS
    for i, mode in ((0, "easy"), (2, "hard"))
}
TASKS = (*SCORES, *(f"{game}-{mode}" for game, _, _, _, _, *modes in _ROWS for mode in modes))


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `procgen/<game>-<mode>`; needs no simulator."""
    horizon = options.horizon or HORIZON
    return TaskSpec(
        name=f"procgen/{task}",
        suite="procgen",
        observation=Image(64, 64, 3, options.stack or 1),
        action=Choices((ACTIONS,)),
        horizon=horizon,
        discount=options.discount_over(horizon),
        score_range=SCORES.get(task),
        engine="envpool",
    )


def envpool_id(task: str) -> str:
    """EnvPool's name of a task, such as "CoinrunEasy-v0" for "coinrun-easy"."""
    return "".join(word.capitalize() for word in task.split("-")) + "-v0"


def _build(spec: TaskSpec, seed: int, render: bool) -> "gymnasium.Env":
    from polytask.tasks.pool import PoolEnv

    return PoolEnv(spec, seed)


SUITE = Suite(
    name="procgen",
    spec=spec,
    build=_build,
    tasks=TASKS,
    groups={mode: tuple(task for task in SCORES if task.endswith(mode)) for mode in ("easy", "hard")},
    envpool=lambda spec: EnvPoolTask(envpool_id(spec.task), {"channel_first": False}),
)
