"""F1 and the area under the ROC curve: what tells more than accuracy where one answer is rare."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from polytask.supervised.examples import Examples
from polytask.supervised.spec import HeadSpec, groups


def class_scores(
    tasks: Sequence[HeadSpec], outputs: Float[np.ndarray, "rows outputs"], examples: Examples
) -> dict[str, dict[str, float]]:
    """By figure ("f1", "auc"), that of each task of classes or answers over the rows that have its label.

    - f1: of yes, or the mean over the classes that occur among labels or answers; 2 TP / (2 TP + FP + FN).
    - auc: how often a row of the class has a higher output than one that is not, ties counting half; of yes, or the
      mean over the classes that occur, each against the rest. NaN where all labels are alike.

    Several answers in a row have the mean over these. As scikit-learn's f1_score (average="macro" for classes) and
    roc_auc_score (multi_class="ovr").
    """
    found: dict[str, dict[str, float]] = {"f1": {}, "auc": {}}
    for group, targets in zip(groups(tasks), examples.targets, strict=True):
        if group.kind == "regression":
            continue
        own = outputs[:, group.start : group.stop].reshape(len(outputs), len(group.tasks), group.outputs)
        for i, task in enumerate(group.tasks):
            there = np.asarray(examples.present[:, task])
            given, target = own[there, i], np.asarray(targets[:, i])[there]
            if group.kind == "classes":
                truth = target[:, None] == np.arange(group.outputs)
                chosen = given.argmax(-1)[:, None] == np.arange(group.outputs)
                given = _log_probabilities(given)
            else:
                truth, chosen = target > 0.5, given > 0
            name = tasks[task].name
            found["f1"][name] = _f1(truth, chosen, group.kind == "classes")
            areas = [area_under_curve(given[:, k], truth[:, k]) for k in range(group.outputs)]
            known = [area for area in areas if not np.isnan(area)]
            found["auc"][name] = float(np.mean(known)) if known else np.nan
    return found


def area_under_curve(values: Float[np.ndarray, " rows"], positive: Bool[np.ndarray, " rows"]) -> float:
    """The share of pairs of a positive and another row in which the positive has the higher value, ties as halves.

    The statistic of Mann and Whitney by ranks; NaN where a side has no row.
    """
    count = int(positive.sum())
    rest = len(values) - count
    if not count or not rest:
        return np.nan
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * rest))


def _f1(truth: Shaped[np.ndarray, "rows outputs"], chosen: Shaped[np.ndarray, "rows outputs"], occur: bool) -> float:
    both: Int[np.ndarray, " outputs"] = (truth & chosen).sum(0)
    either = truth.sum(0) + chosen.sum(0)
    kept = either > 0 if occur else np.ones(len(either), bool)
    if not len(truth) or not kept.any():
        return np.nan
    return float(np.mean(2 * both[kept] / np.maximum(either[kept], 1)))


def _log_probabilities(outputs: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, "rows classes"]:
    shifted = outputs - outputs.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
