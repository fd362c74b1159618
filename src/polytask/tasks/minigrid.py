"""MiniGrid (Chevalier-Boisvert et al. 2023, arXiv 2306.13831) in EnvPool: grid worlds that are seen in part."""

import functools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Choices, Image, Named, Vector
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import EnvPoolTask, Suite

if TYPE_CHECKING:
    import gymnasium

# Tasks and their steps. Read from EnvPool 1.2.5; a test compares them.
_TABLE = """
Empty-5x5-v0 100, Empty-6x6-v0 144, Empty-8x8-v0 256, Empty-16x16-v0 1024, Empty-Random-5x5-v0 100,
Empty-Random-6x6-v0 144, DoorKey-5x5-v0 250, DoorKey-6x6-v0 360, DoorKey-8x8-v0 640, DoorKey-16x16-v0 2560,
DistShift1-v0 252, DistShift2-v0 252, LavaCrossingS9N1-v0 324, LavaCrossingS9N2-v0 324,
LavaCrossingS9N3-v0 324, LavaCrossingS11N5-v0 484, SimpleCrossingS9N1-v0 324, SimpleCrossingS9N2-v0 324,
SimpleCrossingS9N3-v0 324, SimpleCrossingS11N5-v0 484, LavaGapS5-v0 100, LavaGapS6-v0 144, LavaGapS7-v0 196,
Dynamic-Obstacles-5x5-v0 100, Dynamic-Obstacles-Random-5x5-v0 100, Dynamic-Obstacles-6x6-v0 144,
Dynamic-Obstacles-Random-6x6-v0 144, Dynamic-Obstacles-8x8-v0 256, Dynamic-Obstacles-16x16-v0 1024,
Fetch-5x5-N2-v0 125, Fetch-6x6-N2-v0 180, Fetch-8x8-N3-v0 320, FourRooms-v0 100, GoToDoor-5x5-v0 100,
GoToDoor-6x6-v0 144, GoToDoor-8x8-v0 256, GoToObject-6x6-N2-v0 180, GoToObject-8x8-N2-v0 320,
KeyCorridorS3R1-v0 270, KeyCorridorS3R2-v0 270, KeyCorridorS3R3-v0 270, KeyCorridorS4R3-v0 480,
KeyCorridorS5R3-v0 750, KeyCorridorS6R3-v0 1080, LockedRoom-v0 190, MemoryS17Random-v0 1445,
MemoryS13Random-v0 845, MemoryS13-v0 845, MemoryS11-v0 605, MemoryS9-v0 405, MemoryS7-v0 245,
MultiRoom-N2-S4-v0 40, MultiRoom-N4-S5-v0 120, MultiRoom-N6-v0 120, ObstructedMaze-1Dl-v0 288,
ObstructedMaze-1Dlh-v0 288, ObstructedMaze-1Dlhb-v0 288, ObstructedMaze-2Dl-v0 576, ObstructedMaze-2Dlh-v0 576,
ObstructedMaze-2Dlhb-v0 576, ObstructedMaze-1Q-v0 720, ObstructedMaze-2Q-v0 1584, ObstructedMaze-Full-v0 3600,
ObstructedMaze-2Dlhb-v1 576, ObstructedMaze-1Q-v1 720, ObstructedMaze-2Q-v1 1584, ObstructedMaze-Full-v1 3600,
Playground-v0 100, PutNear-6x6-N2-v0 30, PutNear-8x8-N3-v0 40, RedBlueDoors-6x6-v0 720,
RedBlueDoors-8x8-v0 1280, Unlock-v0 288, UnlockPickup-v0 288, BlockedUnlockPickup-v0 576,
WFC-MazeSimple-v0 500, WFC-DungeonMazeScaled-v0 500, WFC-RoomsFabric-v0 500, WFC-ObstaclesBlackdots-v0 500,
WFC-ObstaclesAngular-v0 500, WFC-ObstaclesHogs3-v0 500
"""
HORIZONS = {task: int(steps) for task, steps in (row.split() for row in _TABLE.split(","))}

PLANES = (11, 6, 3)
"""What a cell can hold, its colours, and the states of a door."""
_PLACES = np.cumsum((0, *PLANES[:-1]))
_COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
_THINGS = ("key", "ball", "box", "door", "room")
_MENTION = re.compile(f"({'|'.join(_COLOURS)}) ({'|'.join(_THINGS)})")
MENTIONS = 3
"""The most things that a mission names by their colour."""
_EACH = len(_COLOURS) + len(_THINGS)


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `minigrid/<id without its "MiniGrid-">`; needs no simulator.

    An observation is what is in sight (7 x 7 cells, a plane for each object, colour and state: the package's
    OneHotPartialObsWrapper), the agent's direction, and the things that the mission names, in order. Returns lie
    between 0 and 1, but in Dynamic-Obstacles, where a collision costs 1.
    """
    horizon = options.horizon or HORIZONS[task]
    seen = Image(7, 7, sum(PLANES), options.stack or 1)
    return TaskSpec(
        name=f"minigrid/{task}",
        suite="minigrid",
        observation=Named((("image", seen), ("direction", Vector(4)), ("mission", Vector(MENTIONS * _EACH)))),
        action=Choices((3 if task.startswith("Dynamic") else 7,)),
        horizon=horizon,
        discount=options.discount_over(horizon),
        score_range=(0.0, 1.0),
        engine="envpool",
    )


def read(given: dict[str, Any]) -> dict[str, np.ndarray]:
    """An observation out of EnvPool's."""
    planes = np.zeros((7, 7, sum(PLANES)), np.uint8)
    np.put_along_axis(planes, given["image"][0] + _PLACES, 255, axis=-1)
    direction = np.arange(4) == given["direction"][0]
    return {"image": planes, "direction": direction.astype(np.float32), "mission": named_in(given["mission"].tobytes())}


@functools.lru_cache(maxsize=1024)
def named_in(mission: bytes) -> Float32[np.ndarray, " mentions"]:
    """The first things that a mission names by colour, in order: the colour and the thing, one-hot each."""
    words = mission.partition(b"\0")[0].decode()
    found = np.zeros((MENTIONS, _EACH), np.float32)
    for row, (colour, thing) in zip(found, _MENTION.findall(words), strict=False):
        row[_COLOURS.index(colour)] = row[len(_COLOURS) + _THINGS.index(thing)] = 1
    found.setflags(write=False)
    return found.ravel()


def _build(spec: TaskSpec, seed: int, render: bool) -> "gymnasium.Env":
    from polytask.tasks.pool import PoolEnv

    return PoolEnv(spec, seed)


SUITE = Suite(
    name="minigrid",
    spec=spec,
    build=_build,
    tasks=tuple(HORIZONS),
    envpool=lambda spec: EnvPoolTask(f"MiniGrid-{spec.task}", read=read),
)
