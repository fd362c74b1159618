"""Planted clusters: tasks whose best grouping is known, on a trunk that is too small for all of them.

Inputs are the scikit-learn digits. Six regressions in two clusters of three: the tasks of a cluster read the same four
hidden units, clusters have none in common. With four units in the trunk, who shares it with whom decides the loss.
"""

import numpy as np
from jaxtyping import Float

from polytask import random
from polytask.problems import digits
from polytask.supervised.problem import Problem, Rows, make_problem
from polytask.supervised.spec import HeadSpec

CLUSTERS = ((0, 1, 2), (3, 4, 5))
DIRECTIONS = 40  # principal components of the 64 pixels; the rest hardly vary
UNITS = 4  # of a cluster's hidden layer: one common reading, and one of each of its three tasks
GAIN = 1.5  # deviation of what goes into a hidden unit, so that tanh bends


def planted_clusters(
    seed: int = 0, rows: int = 600, correlation: float = 0.8, noise: float = 0.3, hidden: int = UNITS
) -> Problem:
    """Six regressions y_t = f_t(x) + noise, in two clusters (`CLUSTERS`).

    f_t = u_t . h_c(x), of unit variance, with h_c = tanh of `hidden` random directions of the whitened digits,
    its units made uncorrelated. Two tasks of a cluster have correlation `correlation`, exactly, over all pictures; two
    of different clusters hardly any. The functions are ours, not a paper's.

    - `rows`: how many pictures are for training; the rest is validation and test in halves.
    - `noise`: its standard deviation; noise^2 is the least mean squared error there is.
    - `hidden`: units of a cluster's hidden layer, at least four. With four a trunk of four units can hold what the
      three tasks of a cluster need; with more it can only come near.

    Deterministic by `seed`, which draws functions, rows and noise.
    """
    features = _whitened(digits.load().images.reshape(-1, 64))
    generator = random.generator(seed, "planted")
    clean = np.concatenate([_cluster(features, len(own), correlation, hidden, generator) for own in CLUSTERS], axis=1)
    labels = clean + noise * generator.standard_normal(clean.shape)
    names = [f"{'ab'[c]}{i + 1}" for c, own in enumerate(CLUSTERS) for i in range(len(own))]
    tasks = tuple(HeadSpec(name, "regression") for name in names)
    order = generator.permutation(len(features))
    middle = rows + (len(features) - rows) // 2

    def held(part: np.ndarray) -> Rows:
        return Rows(features[part].astype(np.float32), {name: labels[part, t] for t, name in enumerate(names)})

    train, validation, test = order[:rows], order[rows:middle], order[middle:]
    return make_problem("planted-clusters", tasks, held(train), held(validation), held(test))


def _whitened(pixels: Float[np.ndarray, "pictures pixels"]) -> Float[np.ndarray, "pictures directions"]:
    """The first principal components, each with deviation 1 over all pictures."""
    centred = pixels.astype(np.float64) - pixels.mean(axis=0, dtype=np.float64)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :DIRECTIONS] * np.sqrt(len(pixels))


def _cluster(
    features: Float[np.ndarray, "pictures directions"],
    tasks: int,
    correlation: float,
    units: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "pictures tasks"]:
    """Readings of one hidden layer; orthonormal over the pictures, so that the mixture has exactly the correlation."""
    directions = generator.standard_normal((features.shape[1], units)) / np.sqrt(features.shape[1])
    hidden = np.tanh(GAIN * features @ directions)
    left, _, _ = np.linalg.svd(hidden - hidden.mean(axis=0), full_matrices=False)
    mixing, _ = np.linalg.qr(generator.standard_normal((units, tasks + 1)))
    weights = np.sqrt(correlation) * mixing[:, :1] + np.sqrt(1 - correlation) * mixing[:, 1:]
    return left @ weights * np.sqrt(len(features))
