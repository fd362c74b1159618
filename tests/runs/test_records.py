"""What each kind of training logs is what its schema names, and the other way round."""

import json

import pytest

from polytask.decisions import DecisionConfig
from polytask.decisions import train as train_decisions
from polytask.runs.records import EVERY_EVALUATION, EVERY_LINE
from polytask.supervised import TrainConfig, TrunkConfig, train
from polytask.training import kinds
from tests.decisions.small import shops
from tests.supervised.small import points


@pytest.fixture(scope="module")
def runs(tmp_path_factory, trained_run):
    """A run of each kind, by the trainers."""
    folder = tmp_path_factory.mktemp("kinds")
    small = {"steps": 20, "eval_every": 10, "tensorboard": False}
    supervised = TrainConfig(problem="points", trunk=TrunkConfig(8, 1), batch_size=16, combine="mgda", **small)
    assert train(supervised, points(), folder / "supervised")
    decisions = DecisionConfig(problem="shops", loss="taskmet", metric="diagonal", tensorboard=False)
    assert train_decisions(decisions, shops(), {0: folder / "decisions"})
    return {"online": trained_run, "supervised": folder / "supervised", "decisions": folder / "decisions"}


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
