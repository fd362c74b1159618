"""The DeepMind Control suite; its observation dictionaries are flattened in the suite's own order."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import EnvPoolTask, Suite

if TYPE_CHECKING:
    import gymnasium

HORIZON = 1000


@dataclasses.dataclass(frozen=True)
class Layout:
    """The sizes of a task and the observation entries that make up its flat observation, in order."""

    observation_dim: int
    action_dim: int
    entries: tuple[str, ...]


_DOG = (
    "joint_angles joint_velocites torso_pelvis_height z_projection torso_com_velocity inertial_sensors foot_forces "
    "touch_sensors actuator_state"
)
_HUMANOID = "joint_angles head_height extremities torso_vertical com_velocity velocity"
_ARM = "arm_pos arm_vel touch hand_pos object_pos object_vel target_pos"
_STACKER = "arm_pos arm_vel touch hand_pos box_pos box_vel target_pos"
_QUADRUPED = "egocentric_state torso_velocity torso_upright imu force_torque"

# domain, tasks, observation size, action size, entries. Read from dm_control 1.0.28; a test compares them.
# EnvPool gives every task of a domain the entries of all of them, so that the extra ones have to be dropped.
_TABLE = (
    ("acrobot", "swingup swingup_sparse", 6, 1, "orientations velocity"),
    ("ball_in_cup", "catch", 8, 2, "position velocity"),
    ("cartpole", "balance balance_sparse swingup swingup_sparse", 5, 1, "position velocity"),
    ("cartpole", "two_poles", 8, 1, "position velocity"),
    ("cartpole", "three_poles", 11, 1, "position velocity"),
    ("cheetah", "run", 17, 6, "position velocity"),
    ("dog", "stand walk trot run", 223, 38, _DOG),
    ("dog", "fetch", 232, 38, f"{_DOG} ball_state target_position"),
    ("finger", "spin", 9, 2, "position velocity touch"),
    ("finger", "turn_easy turn_hard", 12, 2, "position velocity touch target_position dist_to_target"),
    ("fish", "upright", 21, 5, "joint_angles upright velocity"),
    ("fish", "swim", 24, 5, "joint_angles upright target velocity"),
    ("hopper", "stand hop", 15, 4, "position velocity touch"),
    ("humanoid", "stand walk run", 67, 21, _HUMANOID),
    ("humanoid", "run_pure_state", 55, 21, "position velocity"),
    ("humanoid_CMU", "stand walk run", 137, 56, _HUMANOID),
    ("lqr", "lqr_2_1", 4, 1, "position velocity"),
    ("lqr", "lqr_6_2", 12, 2, "position velocity"),
    ("manipulator", "bring_ball bring_peg insert_ball insert_peg", 44, 5, _ARM),
    ("pendulum", "swingup", 3, 1, "orientation velocity"),
    ("point_mass", "easy hard", 4, 2, "position velocity"),
    ("quadruped", "walk run", 78, 12, _QUADRUPED),
    ("quadruped", "escape", 101, 12, f"{_QUADRUPED} origin rangefinder"),
    ("quadruped", "fetch", 90, 12, f"{_QUADRUPED} ball_state target_position"),
    ("reacher", "easy hard", 6, 2, "position to_target velocity"),
    ("stacker", "stack_2", 49, 5, _STACKER),
    ("stacker", "stack_4", 63, 5, _STACKER),
    ("swimmer", "swimmer6", 25, 5, "joints to_target body_velocities"),
    ("swimmer", "swimmer15", 61, 14, "joints to_target body_velocities"),
    ("walker", "stand walk run", 24, 6, "orientations height velocity"),
)

LAYOUTS = {
    f"{domain}-{task}": Layout(observations, actions, tuple(entries.split()))
    for domain, tasks, observations, actions, entries in _TABLE
    for task in tasks.split()
}

TASKS = tuple(LAYOUTS)

GROUPS = {
    "dogs": ("dog-stand", "dog-walk", "dog-trot", "dog-run"),
    "humanoids": ("humanoid-stand", "humanoid-walk", "humanoid-run"),
}

OFFICIAL_ONLY = frozenset({"cartpole-two_poles", "cartpole-three_poles", "quadruped-escape"})
"""Where EnvPool 1.2.5 differs from dm_control 1.0.28: found by benchmarks/parity.py, shown in docs/tasks.md."""

# The other joints and all other domains have [-1, 1].
_QUADRUPED_LEG = ((-1.0, 1.0), (-1.0, 1.1), (-0.8, 0.8))


def _action_bounds(task: str) -> list[tuple[float, float]]:
    if task.startswith("quadruped"):
        return list(_QUADRUPED_LEG * 4)
    # dm_control leaves LQR unbounded (it says ±1e10), and a bounded policy needs bounds: ±1 here.
    return [(-1.0, 1.0)] * LAYOUTS[task].action_dim


def split(task: str) -> tuple[str, str]:
    """The suite's domain and task names: ("ball_in_cup", "catch") for "ball_in_cup-catch"."""
    domain, name = task.split("-")
    return domain, name


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `dmc/<domain>-<task>`; needs no simulator."""
    bounds = _action_bounds(task)
    horizon = options.horizon or HORIZON
    return TaskSpec(
        name=f"dmc/{task}",
        suite="dmc",
        observation=Vector(LAYOUTS[task].observation_dim),
        action=Box(tuple(low for low, _ in bounds), tuple(high for _, high in bounds)),
        horizon=horizon,
        discount=options.discount_over(horizon),
        # A reward of the suite lies between 0 and 1; LQR's is a cost without a lower end.
        score_range=None if task.startswith("lqr") else (0.0, float(horizon)),
        engine="process" if task in OFFICIAL_ONLY else "envpool",
    )


def envpool_id(task: str) -> str:
    """EnvPool's name of a task, such as "BallInCupCatch-v1" for "ball_in_cup-catch"."""
    words = "_".join(split(task)).split("_")
    return "".join(word[:1].upper() + word[1:] for word in words) + "-v1"


def _build(spec: TaskSpec, seed: int, render: bool) -> "gymnasium.Env":
    from polytask.tasks.official import dmc_env

    return dmc_env(spec, seed, render)


def _envpool(spec: TaskSpec) -> EnvPoolTask:
    entries = LAYOUTS[spec.task].entries
    return EnvPoolTask(envpool_id(spec.task), read=lambda given: np.concatenate([given[e].ravel() for e in entries]))


SUITE = Suite(
    name="dmc",
    spec=spec,
    build=_build,
    tasks=TASKS,
    groups=GROUPS,
    package="dm_control",
    install="pip install -e '.[official]' in the checkout",
    envpool=_envpool,
)
