"""A sweep's description: from the command line, from a file, in its folder; and what is refused at once."""

import importlib.util

import pytest

from polytask.runs.folder import RunFolderError
from polytask.sweeps import config
from polytask.sweeps.config import SweepConfig, axis, check_folder, claim, read, read_file, trials
from tests.small import AGENT, EVERY, POINT, command

TRAIN = " ".join([POINT, *AGENT, *EVERY, "--steps", "120"])
OVER = {"agent.tau": ("0.01", "2e-2"), "seed": ("0", "1", "2")}


def test_an_axis_is_a_list_of_values_or_a_range():
    assert axis("agent.learning-rate=3e-4,1e-3") == ("agent.learning-rate", ("3e-4", "1e-3"))
    assert axis("--agent.learning_rate=3e-4") == ("agent.learning-rate", ("3e-4",))
    assert axis("seed=0..2,7") == ("seed", ("0", "1", "2", "7"))
    assert axis("combine=cagrad:c=0.4") == ("combine", ("cagrad:c=0.4",))


@pytest.mark.parametrize("text", ["seed", "=1", ""])
def test_an_axis_without_values_is_refused(text):
    with pytest.raises(ValueError, match="--over reads"):
        axis(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"over": {}}, "name what differs"),
        ({"over": {"seed": ()}}, "empty"),
        ({"over": {"seed": ("1", "1")}}, "twice"),
        ({"over": {"steps": ("10", "20")}}, "leave one of them out"),
        ({"halving": 1}, "would stop nothing"),
        ({"cpus": 0}, "--cpus must be at least 1"),
        ({"gpus": -1}, "--gpus must be at least 0"),
    ],
)
def test_what_cannot_be_a_sweep_says_why(changes, message):
    with pytest.raises(ValueError, match=message):
        SweepConfig(**{"train": TRAIN, "over": OVER, **changes})


def test_every_combination_is_a_trial_with_a_folder_of_its_own():
    found = trials(SweepConfig(TRAIN, OVER))
    assert len(found) == len({trial.name for trial in found}) == 6
    assert found[1].name == "agent.tau=0.01,seed=1"
    assert [(trial.config.agent.tau, trial.config.seed) for trial in found[2:4]] == [(0.01, 2), (0.02, 0)]
    assert found[0].configuration == (("agent.tau", "0.01"),)


def test_true_and_false_are_switches():
    found = trials(SweepConfig(TRAIN, {"agent.normalise-rewards": ("true", "False"), "keep": ("false",)}))
    assert [trial.config.agent.normalise_rewards for trial in found] == [True, False]


def test_values_that_no_folder_tells_apart_are_numbered():
    found = trials(SweepConfig(TRAIN, {"agent.trunk": ("film:units=8", "film/units=8")}))
    assert [trial.name for trial in found] == ["0-agent.trunk=film-units=8", "1-agent.trunk=film-units=8"]


@pytest.mark.parametrize(
    ("train", "over", "message"),
    [
        (TRAIN, "agent.tau=5", "--agent.tau must be above 0 and at most 1, not 5.0"),
        (TRAIN, "agent.kind=brcc", "no agent 'brcc'"),
        (TRAIN, "agent.tua=1", "agent.tua"),
        (TRAIN, "agent.tau=x", "agent.tau"),
        (f"{TRAIN} --seeds 2", "seed=0,1", "--over seed=0..4"),
        (TRAIN.replace(POINT, "gym/tests.small:nothing"), "seed=0,1", "nothing"),
        (TRAIN, "agent.critic-combiner=pcgrid", "pcgrid"),
    ],
)
def test_values_are_refused_as_train_does_before_anything_starts(train, over, message, tmp_path):
    code, _, errors = command("sweep", *train.split(), "--over", over, "--run", str(tmp_path / "sweep"))
    assert code == 2
    assert message in errors
    assert not (tmp_path / "sweep").exists()


def test_a_file_says_the_same_as_the_command_line(tmp_path):
    pytest.importorskip("yaml")
    file = tmp_path / "sweep.yaml"
    file.write_text(f"train: {TRAIN}\nover:\n  agent.tau: [0.01, 2e-2]\n  seed: 0..2\nhalving: 2\n")
    assert read_file(file) == SweepConfig(TRAIN, OVER, halving=2)
    code, _, errors = command("sweep", str(file), "--steps", "10")
    assert code == 2
    assert "write --steps 10 into `train`" in errors
    claim(tmp_path / "sweep", read_file(file))
    assert read_file(tmp_path / "sweep" / config.SWEEP) == read(tmp_path / "sweep") == read_file(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("over: {seed: 0..2}", "has `train`"),
        ("train: x\nover: {seed: 0..2}\nhalve: 2", "no halve"),
        ("train: x\nover: {seed: 0..2}\ncpus: many", "many"),
        ("train: [", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_sweep_says_why(text, message, tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path / "sweep.yaml")


def test_values_may_be_added_to_a_sweep_and_nothing_else_may_change(tmp_path):
    claim(tmp_path, SweepConfig(TRAIN, OVER))
    check_folder(tmp_path, SweepConfig(TRAIN, {**OVER, "seed": ("0", "1", "2", "3")}))
    for other in (
        SweepConfig(TRAIN, {**OVER, "seed": ("0", "1")}),
        SweepConfig(TRAIN, {"seed": OVER["seed"]}),
        SweepConfig(f"{TRAIN} --exploration held", OVER),
        SweepConfig(TRAIN, OVER, cpus=2),
    ):
        with pytest.raises(RunFolderError, match="another sweep"):
            check_folder(tmp_path, other)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "own").touch()
    with pytest.raises(RunFolderError, match="no sweep"):
        check_folder(tmp_path / "files", SweepConfig(TRAIN, OVER))


def test_without_ray_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, errors = command("sweep", *TRAIN.split(), "--over", "seed=0,1", "--run", str(tmp_path / "sweep"))
    assert code == 2
    assert "pip install 'polytask[ray]'" in errors
    assert not (tmp_path / "sweep").exists()
    claim(tmp_path / "begun", SweepConfig(TRAIN, OVER))
    code, _, errors = command("resume", str(tmp_path / "begun"))
    assert code == 2
    assert "pip install 'polytask[ray]'" in errors
