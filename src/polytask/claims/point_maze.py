"""Goals in a U-shaped maze as a distribution of tasks: EnvPool's PointMaze with rewards of our own.

The observation is [x, y, vx, vy], without the goal; the reward is exp(-distance to the goal) after the step. Goals lie
along the middle of the corridor, at a distance from its beginning between 0 and 6.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

ID = "PointMaze_UMaze-v3"
CORNERS = np.array([[-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
LENGTH = 6.0
Steps = dict[str, np.ndarray]


def corridor(along: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """The points at these distances from the corridor's beginning."""
    along = np.clip(along, 0.0, LENGTH)
    return np.stack([np.interp(along, (0, 2, 4, 6), CORNERS[:, axis]) for axis in range(2)], axis=1)


def distance_along(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """How far along the corridor the nearest point of its middle is."""
    grid = np.linspace(0, LENGTH, 121)
    return grid[np.square(points[:, None] - corridor(grid)[None]).sum(axis=-1).argmin(axis=1)]


def goals(count: int, unseen: bool) -> Float[np.ndarray, "count 2"]:
    """Goals to train on, evenly along the corridor; the unseen ones lie between them."""
    step = LENGTH / count
    return corridor(step * (np.arange(count) + (0.75 if unseen else 0.25)))


def reward(next_observations: Float[np.ndarray, "*n 4"], goal: Float[np.ndarray, "... 2"]) -> Float[np.ndarray, "*n"]:
    """exp(-distance); goals are broadcast."""
    return np.exp(-np.linalg.norm(next_observations[..., :2] - goal, axis=-1))


def towards(
    observations: Float[np.ndarray, "n 4"], goal: Float[np.ndarray, "n 2"], noise: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    """A scripted controller: along the corridor to the goal, with noise, in [-1, 1]."""
    here, there = distance_along(observations[:, :2]), distance_along(goal)
    way = np.where(np.abs(there - here) > 0.4, 0.4, np.abs(there - here)) * np.sign(there - here)
    aim = np.where(np.abs(there - here)[:, None] > 0.4, corridor(here + way), goal)
    return np.clip(5 * (aim - observations[:, :2]) - 1.0 * observations[:, 2:] + noise, -1, 1)


def episodes(
    act: Callable[[Float[np.ndarray, "n 4"], int], Float[np.ndarray, "n 2"]],
    goal: Float[np.ndarray, "n 2"],
    horizon: int,
    seed: int,
) -> Steps:
    """One episode in each of n mazes at once under `act(observations, step)`; arrays of shape (n, horizon, ...)."""
    import envpool

    made: Any = envpool.make_gymnasium(ID, num_envs=len(goal), seed=seed, max_episode_steps=horizon + 1)
    try:
        seen = np.asarray(made.reset()[0]["observation"], np.float32)
        columns: dict[str, list[np.ndarray]] = {"observations": [], "actions": [], "next_observations": []}
        for step in range(horizon):
            actions = np.asarray(act(seen, step), np.float32)
            after = np.asarray(made.step(actions)[0]["observation"], np.float32)
            for name, value in zip(columns, (seen, actions, after), strict=True):
                columns[name].append(value)
            seen = after
    finally:
        made.close()
    steps = {name: np.stack(values, axis=1) for name, values in columns.items()}
    return {**steps, "rewards": reward(steps["next_observations"], goal[:, None]).astype(np.float32)}


def logged(goal: Float[np.ndarray, "tasks 2"], count: int, horizon: int, seed: int) -> Steps:
    """`count` episodes of each task by controllers from skilled to random, one behind another."""
    from polytask import random

    found: list[Steps] = []
    for number in range(count):
        generator = random.generator(seed, "point maze", number)
        skill = generator.uniform(0, 1, (len(goal), 1))

        def act(seen: np.ndarray, step: int, generator: Any = generator, skill: np.ndarray = skill) -> np.ndarray:
            noise = generator.normal(size=(len(goal), 2))
            return np.where(generator.uniform(size=skill.shape) < skill, towards(seen, goal, 0.3 * noise), noise)

        maze = random.integer(seed, "maze", number)
        found.append(episodes(lambda seen, t, act=act: np.clip(act(seen, t), -1, 1), goal, horizon, maze))
    return {name: np.concatenate([steps[name] for steps in found], axis=1) for name in found[0]}
