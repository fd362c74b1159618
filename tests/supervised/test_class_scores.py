"""F1, the area under the curve and balanced weights, against scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest

from polytask.supervised import HeadSpec, Rows, make_problem
from polytask.supervised.class_scores import area_under_curve, class_scores
from polytask.supervised.config import SupervisedConfig
from polytask.supervised.loss import class_weights, training_losses

TASKS = (HeadSpec("rare", "binary"), HeadSpec("height", "regression"), HeadSpec("corner", "classes", 3))


def rows(count: int = 90) -> Rows:
    rng = np.random.default_rng(0)
    rare = np.where(np.arange(count) % 10 == 0, np.nan, (np.arange(count) % 6 == 0).astype(float))
    corner = np.where(np.arange(count) % 7 == 0, -1, np.minimum(rng.integers(0, 5, count), 2))
    return Rows(rng.normal(size=(count, 2)), {"rare": rare, "height": rng.normal(size=count), "corner": corner})


def problem():
    given = rows()
    return make_problem("rare", TASKS, given, given, given)


def test_scores_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    outputs = np.random.default_rng(1).normal(size=(90, 5)).round(1)  # with ties
    given, test = rows(), problem().test
    found = class_scores(TASKS, outputs, test)
    known = ~np.isnan(given.targets["rare"])
    truth = given.targets["rare"][known].astype(int)
    assert found["auc"]["rare"] == pytest.approx(metrics.roc_auc_score(truth, outputs[known, 0]))
    assert found["f1"]["rare"] == pytest.approx(metrics.f1_score(truth, outputs[known, 0] > 0))
    known = given.targets["corner"] >= 0
    truth, own = given.targets["corner"][known], outputs[known, 2:]
    chance = np.exp(own) / np.exp(own).sum(1, keepdims=True)
    assert found["auc"]["corner"] == pytest.approx(metrics.roc_auc_score(truth, chance, multi_class="ovr"))
    assert found["f1"]["corner"] == pytest.approx(metrics.f1_score(truth, own.argmax(1), average="macro"))
    assert set(found["f1"]) == {"rare", "corner"}


def test_labels_that_are_all_alike_have_no_area():
    assert np.isnan(area_under_curve(np.arange(3.0), np.ones(3, bool)))
    assert area_under_curve(np.zeros(4), np.array([True, False, True, False])) == 0.5


def test_balanced_weights_are_scikit_learns_and_classes_come_to_count_alike():
    weights = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    given, train = rows(), problem().train
    found = class_weights(TASKS, train)
    by_kind = {group.kind: np.asarray(values)[0] for group, values in found.items()}
    for name, kind in (("rare", "binary"), ("corner", "classes")):
        labels = np.asarray(given.targets[name], float)
        labels = labels[labels >= 0].astype(int)
        np.testing.assert_allclose(by_kind[kind], weights("balanced", classes=np.unique(labels), y=labels), rtol=1e-6)


def test_balanced_weights_leave_a_loss_of_rows_that_are_alike_as_it_is():
    train = problem().train
    outputs = jnp.zeros((90, 5))
    plain = training_losses(SupervisedConfig(), TASKS, outputs, train)
    balanced = training_losses(SupervisedConfig(), TASKS, outputs, train, class_weights(TASKS, train))
    np.testing.assert_allclose(balanced, plain, rtol=1e-5)
