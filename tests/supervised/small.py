"""A small problem with every kind of task, and labels that are missing."""

import numpy as np

from polytask.supervised import HeadSpec, Rows, make_problem, split

TASKS = (
    HeadSpec("place", "regression", 2),
    HeadSpec("far", "binary"),
    HeadSpec("height", "regression"),
    HeadSpec("corner", "classes", 4),
)

OWN = "problems/tests.supervised.small:points"
FAST = ["--steps", "40", "--eval-every", "10", "--batch-size", "16", "--trunk.width", "8", "--no-tensorboard"]
TRAINED = [OWN, *FAST, "--combine", "mgda"]  # the run that tests share


def rows(seed: int = 0, noise: float = 0.0, count: int = 120) -> Rows:
    """Points, and what can be told from them; every fourth row lacks its corner, every fifth its height."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, 3)).astype(np.float32)
    height = inputs[:, 2] + noise * rng.normal(size=count)
    height = np.where(np.arange(count) % 5 == 0, np.nan, height)
    corner = np.where(np.arange(count) % 4 == 0, -1, (inputs[:, 0] > 0) + 2 * (inputs[:, 1] > 0))
    far = np.hypot(inputs[:, 0], inputs[:, 1]) > 1
    return Rows(inputs, {"place": inputs[:, :2], "far": far, "height": height, "corner": corner})


def points(seed: int = 0, noise: float = 0.0):
    """The problem: 72 rows to train, 24 to validate, 24 to test."""
    return make_problem("points", TASKS, *split(rows(seed, noise), seed))


def not_a_problem():
    return 3


def badly_shaped():
    train, validation, test = split(rows())
    return make_problem(
        "points", TASKS, train._replace(targets={**train.targets, "far": np.zeros((72, 2))}), validation, test
    )
