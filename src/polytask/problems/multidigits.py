"""MultiDigits: two digits laid over each other, to be read both; a small MultiMNIST from data that needs no download.

After Sener and Koltun 2018 (arXiv 1810.04650), whose MultiMNIST has 28 x 28 digits on 36 x 36 pixels.
"""

import numpy as np

from polytask import random
from polytask.problems import digits
from polytask.supervised.problem import Problem, Rows, make_problem
from polytask.supervised.spec import HeadSpec

SIDE = 12  # pixels; the digits overlap in the middle 4 x 4
PAIRS = {"train": 6_000, "validation": 2_000, "test": 2_000}


def multidigits(seed: int = 0) -> Problem:
    """Two tasks of ten classes: the digit at the upper left, and the one at the lower right.

    Pairs are drawn at random from the pictures of their split (60, 20 and 20 %), so no picture is in two splits. Where
    the two overlap, the brighter pixel shows. Deterministic by `seed`.
    """
    found = digits.load()
    tasks = (HeadSpec("upper-left", "classes", 10), HeadSpec("lower-right", "classes", 10))
    rows: dict[str, Rows] = {}
    for (which, count), sources in zip(PAIRS.items(), digits.disjoint_parts(seed), strict=True):
        pairs = random.generator(seed, f"multidigits/{which}").choice(sources, (count, 2))
        pictures = np.zeros((count, SIDE, SIDE), np.float32)
        pictures[:, :8, :8] = found.images[pairs[:, 0]]
        pictures[:, -8:, -8:] = np.maximum(pictures[:, -8:, -8:], found.images[pairs[:, 1]])
        targets = {task.name: found.labels[pairs[:, i]] for i, task in enumerate(tasks)}
        rows[which] = Rows(pictures, targets)
    return make_problem("multidigits", tasks, rows["train"], rows["validation"], rows["test"])
