"""MinAtar's games (Young and Tian 2019, arXiv 1903.03176): 10 x 10 cells, a channel for each kind of object."""

from typing import TYPE_CHECKING

from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Choices, Image
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import Suite

if TYPE_CHECKING:
    import gymnasium

HORIZON = 2500
"""Steps after which an episode is truncated; the games but freeway, which ends then by itself, know no such end."""

# Channels, and the actions that a game has a use for: 0 none, 1 left, 2 up, 3 right, 4 down, 5 fire.
GAMES = {
    "asterix": (4, (0, 1, 2, 3, 4)),
    "breakout": (4, (0, 1, 3)),
    "freeway": (7, (0, 2, 4)),
    "seaquest": (10, (0, 1, 2, 3, 4, 5)),
    "space-invaders": (6, (0, 1, 3, 5)),
}


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `minatar/<game>`; needs no simulator. A grid shows which way things move: one frame is enough."""
    channels, actions = GAMES[task]
    horizon = options.horizon or HORIZON
    return TaskSpec(
        name=f"minatar/{task}",
        suite="minatar",
        observation=Image(10, 10, channels, options.stack or 1),
        action=Choices((len(actions),)),
        horizon=horizon,
        discount=options.discount_over(horizon),
    )


def _build(spec: TaskSpec, seed: int, render: bool) -> "gymnasium.Env":
    from polytask.tasks.minatar_env import MinAtar

    return MinAtar(spec.task)


SUITE = Suite(
    name="minatar",
    spec=spec,
    build=_build,
    tasks=tuple(GAMES),
    groups={"all": tuple(GAMES)},
    package="minatar",
    install="pip install minatar",
)
