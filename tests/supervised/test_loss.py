"""`--loss`: what a supervised training minimises, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask import random
from polytask.losses import squared_errors
from polytask.supervised import SupervisedConfig
from polytask.supervised.config import TrainConfig
from polytask.supervised.loss import relevances, training_losses
from polytask.supervised.model import task_losses
from polytask.supervised.trainer import data_facts
from polytask.training.config import content_of
from polytask.training.kinds import completed, config_of
from tests.small import asked
from tests.supervised.small import TASKS, points

NAMES = [task.name for task in TASKS]
PROBLEM = points()
OUTPUTS = jax.random.normal(random.key(0, "outputs"), (72, 2 + 1 + 1 + 4))


def test_task_weighted_is_the_likelihood_times_relevance():
    config = SupervisedConfig(loss="task-weighted", relevance=("far=3", "corner=0.5"))
    found = training_losses(config, TASKS, OUTPUTS, PROBLEM.train)
    plain = training_losses(SupervisedConfig(), TASKS, OUTPUTS, PROBLEM.train)
    np.testing.assert_array_equal(plain, task_losses(TASKS, OUTPUTS, PROBLEM.train))
    np.testing.assert_allclose(found, plain * jnp.array([1, 3, 1, 0.5]), rtol=1e-6)


def test_squared_error_is_briers_score_of_answers_and_classes():
    found = training_losses(SupervisedConfig(loss="squared-error"), TASKS, OUTPUTS, PROBLEM.train)
    o, there = np.asarray(OUTPUTS, np.float64), np.asarray(PROBLEM.train.present)
    place, far, height, corner = (np.asarray(t, np.float64)[:, 0] for t in PROBLEM.train.targets)
    probabilities = np.exp(o[:, 4:]) / np.exp(o[:, 4:]).sum(1, keepdims=True)
    by_row = [
        ((o[:, :2] - place) ** 2).mean(1),
        (1 / (1 + np.exp(-o[:, 2])) - far[:, 0]) ** 2,
        (o[:, 3] - height[:, 0]) ** 2,
        ((probabilities - np.eye(4)[corner.astype(int)]) ** 2).sum(1),
    ]
    expected = [losses[there[:, t]].mean() for t, losses in enumerate(by_row)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_squared_errors_are_least_at_the_chance_of_the_event():
    """Proper: the expected score of a binary event of chance 0.3 is least where the probability is 0.3."""
    logits = jnp.linspace(-4, 4, 801)[:, None]
    expected = 0.3 * squared_errors(logits, jnp.ones((801, 1)), "binary") + 0.7 * squared_errors(
        logits, jnp.zeros((801, 1)), "binary"
    )
    np.testing.assert_allclose(jax.nn.sigmoid(logits[jnp.argmin(expected)]), 0.3, atol=5e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ("fat=2",),
            "unknown task 'fat'. Did you mean far.* --relevance takes NAME=WEIGHT of place, far, height, corner",
        ),
        (("far",), "--relevance far: give NAME=WEIGHT of place"),
        (("far=0",), "must be a number above 0; leave out a task that counts none"),
        (("far=much",), "must be a number above 0"),
    ],
)
def test_relevance_that_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        relevances(SupervisedConfig(loss="task-weighted", relevance=given), NAMES)


def test_relevance_and_task_weighted_go_together():
    for wrong in ({"loss": "task-weighted"}, {"relevance": ("far=2",)}):
        with pytest.raises(ValueError, match="give both, or neither"):
            SupervisedConfig(**wrong)


def test_the_command_takes_it_and_names_the_folder_by_it():
    name = "problems/tests.supervised.small:points"
    given, folder = asked(name, "--loss", "task-weighted", "--relevance", "far=2", "corner=0.5")
    assert given.relevance == ("far=2", "corner=0.5")
    folders = {folder.name, asked(name)[1].name}
    assert len(folders) == 2
    assert any("task-weighted-far2-corner0.5" in folder for folder in folders)


def test_a_run_from_before_there_was_a_choice_reads_as_likelihood():
    config = TrainConfig(problem="points")
    content = content_of("supervised", config, data_facts(PROBLEM))
    old = {key: value for key, value in content.items() if key not in ("loss", "relevance")}
    assert config_of(old) == config
    assert completed(old) == content
    old["trunk"] = {key: value for key, value in old["trunk"].items() if key != "dropout"}  # at every depth
    assert completed(old) == content
    weighted = dataclasses.replace(config, loss="task-weighted", relevance=("far=2.5",))
    assert config_of(content_of("supervised", weighted, data_facts(PROBLEM))) == weighted
