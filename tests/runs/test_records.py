"""What each kind of training logs is what its schema names, and the other way round."""

import json
import math

import pytest

from polytask.decisions import DecisionConfig, train
from polytask.runs.records import EVERY_EVALUATION, EVERY_LINE, mean_score
from polytask.training import kinds
from tests.decisions.small import shops


@pytest.fixture(scope="module")
def runs(tmp_path_factory, trained_run, trained_on_data):
    """A run of each kind, by the trainers."""
    decisions = tmp_path_factory.mktemp("decisions") / "run"
    config = DecisionConfig(problem="shops", loss="taskmet", metric="diagonal", tensorboard=False)
    assert train(config, shops(), {0: decisions})
    return {"online": trained_run, "supervised": trained_on_data[0], "decisions": decisions}


def lines(run, name):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


@pytest.mark.parametrize("name", ["online", "supervised", "decisions"])
def test_what_is_written_is_read_and_what_is_read_is_written(runs, name):
    schema = kinds.KINDS[name].schema
    written = {key for line in lines(runs[name], "metrics.jsonl") for key in (*line, *line.get("task", {}))} - {"task"}
    named = {measure.name for measure in schema.measures}
    unread = written - {*EVERY_LINE, *named, *schema.logged}
    assert not unread, "logged, and neither drawn nor declared in Schema.logged"
    expected = {*EVERY_LINE, *(measure.name for measure in schema.measures if measure.expected)}
    assert not expected - written, "the report waits for what nobody logs"


@pytest.mark.parametrize("name", ["online", "supervised", "decisions"])
def test_an_evaluation_has_a_score_and_the_figure_beside_it(runs, name):
    kind = kinds.KINDS[name]
    content = json.loads((runs[name] / "config.json").read_text())
    assert content["kind"] == name
    for line in lines(runs[name], "evaluations.jsonl"):
        assert set(EVERY_EVALUATION) <= set(line)
        names = [facts.name for facts in kind.task_facts(content)]
        assert list(line["task"]["score"]) == list(line["task"][kind.schema.beside]) == names


@pytest.mark.parametrize(
    ("scores", "mean"),
    [({"a": 0.5, "b": [0.0, 1.0, 0.5]}, 0.5), ({"a": None, "b": [1]}, 1.0), ({"a": float("nan"), "b": 0.25}, 0.25)],
)
def test_a_mean_score_is_over_tasks_whose_scores_may_be_lists(scores, mean):
    assert mean_score({"task": {"score": scores}}) == mean


@pytest.mark.parametrize("scores", [{}, {"a": None}, {"a": []}])
def test_without_a_score_there_is_no_mean(scores):
    assert math.isnan(mean_score({"task": {"score": scores}}))
