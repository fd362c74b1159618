"""Meta-World: fifty manipulation tasks of one robot arm, observed with the goal in sight."""

from typing import TYPE_CHECKING

from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import EnvPoolTask, Suite

if TYPE_CHECKING:
    import gymnasium

HORIZON = 200
"""As in the published BRC runs; Meta-World's own default is 500."""

OBSERVATION_DIM = 39
ACTION_DIM = 4

TASKS = (
    "assembly-v3",
    "basketball-v3",
    "bin-picking-v3",
    "box-close-v3",
    "button-press-topdown-v3",
    "button-press-topdown-wall-v3",
    "button-press-v3",
    "button-press-wall-v3",
    "coffee-button-v3",
    "coffee-pull-v3",
    "coffee-push-v3",
    "dial-turn-v3",
    "disassemble-v3",
    "door-close-v3",
    "door-lock-v3",
    "door-open-v3",
    "door-unlock-v3",
    "hand-insert-v3",
    "drawer-close-v3",
    "drawer-open-v3",
    "faucet-open-v3",
    "faucet-close-v3",
    "hammer-v3",
    "handle-press-side-v3",
    "handle-press-v3",
    "handle-pull-side-v3",
    "handle-pull-v3",
    "lever-pull-v3",
    "pick-place-wall-v3",
    "pick-out-of-hole-v3",
    "pick-place-v3",
    "plate-slide-v3",
    "plate-slide-side-v3",
    "plate-slide-back-v3",
    "plate-slide-back-side-v3",
    "peg-insert-side-v3",
    "peg-unplug-side-v3",
    "soccer-v3",
    "stick-push-v3",
    "stick-pull-v3",
    "push-v3",
    "push-wall-v3",
    "push-back-v3",
    "reach-v3",
    "reach-wall-v3",
    "shelf-place-v3",
    "sweep-into-v3",
    "sweep-v3",
    "window-open-v3",
    "window-close-v3",
)

MT10 = (
    "reach-v3",
    "push-v3",
    "pick-place-v3",
    "door-open-v3",
    "drawer-open-v3",
    "drawer-close-v3",
    "button-press-topdown-v3",
    "peg-insert-side-v3",
    "window-open-v3",
    "window-close-v3",
)

MT25 = (
    *MT10,
    "coffee-pull-v3",
    "pick-out-of-hole-v3",
    "disassemble-v3",
    "pick-place-wall-v3",
    "basketball-v3",
    "stick-pull-v3",
    "button-press-wall-v3",
    "faucet-open-v3",
    "door-lock-v3",
    "lever-pull-v3",
    "sweep-into-v3",
    "faucet-close-v3",
    "coffee-button-v3",
    "button-press-topdown-wall-v3",
    "dial-turn-v3",
)

GROUPS = {"mt10": MT10, "mt25": MT25, "mt50": TASKS}

OFFICIAL_ONLY = frozenset(
    {
        "button-press-topdown-wall-v3",
        "dial-turn-v3",
        "disassemble-v3",
        "door-close-v3",
        "door-lock-v3",
        "hammer-v3",
        "lever-pull-v3",
        "shelf-place-v3",
        "soccer-v3",
        "sweep-into-v3",
        "sweep-v3",
    }
)
"""Where EnvPool 1.2.5 differs from metaworld 3.1.1: found by benchmarks/parity.py, shown in docs/tasks.md."""


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `metaworld/<task>`; needs no simulator."""
    # EnvPool implements the v2 rewards alone.
    official = task in OFFICIAL_ONLY or options.reward_version == "v1"
    horizon = options.horizon or HORIZON
    return TaskSpec(
        name=f"metaworld/{task}",
        suite="metaworld",
        observation=Vector(OBSERVATION_DIM),
        action=Box((-1.0,) * ACTION_DIM, (1.0,) * ACTION_DIM),
        horizon=horizon,
        discount=options.discount_over(horizon),
        success="any-step",
        reward_version=options.reward_version,
        goals=options.goals,
        engine="process" if official else "envpool",
    )


def envpool_id(task: str) -> str:
    """EnvPool's name of a task, such as "MetaWorld/DoorOpen-v3" for "door-open-v3"."""
    words, version = task.rsplit("-", 1)
    return f"MetaWorld/{''.join(word.capitalize() for word in words.split('-'))}-{version}"


def _build(spec: TaskSpec, seed: int, render: bool) -> "gymnasium.Env":
    from polytask.tasks.official import metaworld_env

    return metaworld_env(spec, render)


def _envpool(spec: TaskSpec) -> EnvPoolTask:
    if spec.reward_version == "v1":
        raise ValueError(f"task '{spec.name}': EnvPool has no v1 rewards; take --engine auto")
    # Without the argument the goal is left out of the observation.
    return EnvPoolTask(envpool_id(spec.task), {"partially_observable": False})


SUITE = Suite(
    name="metaworld",
    spec=spec,
    build=_build,
    tasks=TASKS,
    groups=GROUPS,
    package="metaworld",
    install="pip install -e '.[official]' in the checkout",
    envpool=_envpool,
)
