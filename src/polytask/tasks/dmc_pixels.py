"""The DeepMind Control suite as a camera sees it."""

import dataclasses
from typing import TYPE_CHECKING

from polytask.tasks import dmc
from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Image
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import Suite

if TYPE_CHECKING:
    import gymnasium

REPEATS = 2
"""Steps of the simulator for each action, unless told otherwise (DrQ-v2, Yarats et al. 2021, arXiv 2107.09645)."""
STACK = 3


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `dmc-pixels/<domain>-<task>`: those of `dmc/<domain>-<task>`, in steps of several of its own."""
    state = dmc.spec(task, TaskOptions())
    repeat, size = options.frame_skip or REPEATS, options.frame_size
    horizon = options.horizon or -(-state.horizon // repeat)
    return dataclasses.replace(
        state,
        name=f"dmc-pixels/{task}",
        suite="dmc-pixels",
        observation=Image(size, size, 3, options.stack or STACK),
        horizon=horizon,
        discount=options.discount_over(horizon),
        score_range=state.score_range and (0.0, float(horizon * repeat)),
        engine="process",
        options=(("frame_skip", repeat),),
    )


def _build(spec: TaskSpec, seed: int, render: bool) -> "gymnasium.Env":
    from polytask.tasks.official import dmc_pixels_env

    return dmc_pixels_env(spec, seed)


SUITE = Suite(
    name="dmc-pixels",
    spec=spec,
    build=_build,
    tasks=dmc.TASKS,
    package="dm_control",
    install="pip install -e '.[official]' in the checkout",
)
