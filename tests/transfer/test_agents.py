"""A trained agent meets new tasks."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

import polytask
from polytask.agents import averaging
from polytask.networks.moving import split
from polytask.online.kind import parse_train
from polytask.runs import checkpoint
from polytask.runs.diff import diff
from polytask.tasks.spaces import Box, Choices, Image, Vector
from polytask.tasks.spec import TaskSpec
from polytask.training.start import train, train_seeds
from polytask.transfer import source as sources
from tests.small import EVERY, PLANE, POINT, command
from tests.transfer.small import LINE, SPACE

TABLE = "agent/critic/conditioning/table"


def asked(run, *more, tasks=(LINE,), steps=1, evals=0):
    flags = ["--from", str(run), *EVERY, "--no-tensorboard", "--steps", str(steps), "--eval-every", str(evals)]
    return parse_train([*tasks, *flags, *more]).config


def arrays(run):
    return checkpoint.read_arrays(checkpoint.find(run).path)


def everything(run):
    files = [path for path in sorted(run.rglob("*")) if path.is_file()]
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def moved(before, after, part):
    """The leaves of a part of an agent that have other bits, of those that both have."""
    names = [name for name in before if name.startswith(f"agent/{part}/") and "conditioning" not in name]
    return {name for name in names if before[name].tobytes() != after[name].tobytes()}


def test_new_tasks_get_the_networks_and_nothing_else_and_the_source_is_only_read(trained_run, tmp_path):
    source = everything(trained_run)
    config = asked(trained_run)
    assert (config.transfer, config.agent.moving) == ("full", "all")  # without a word, as all tasks are new
    assert config.agent == sources.read(trained_run).config.agent
    assert train(config, tmp_path / "run")
    before, after = arrays(trained_run), arrays(tmp_path / "run")
    for part in ("actor", "critic", "target_critic"):
        assert not moved(before, after, part)
    np.testing.assert_allclose(np.linalg.norm(after[TABLE], axis=1), 1, rtol=1e-6)
    assert after[TABLE].shape == (1, before[TABLE].shape[1])
    np.testing.assert_allclose(np.exp(after["agent/log_temperature"]), config.agent.initial_temperature, rtol=1e-6)
    assert not any(array.any() for name, array in after.items() if "optimiser" in name)
    assert np.isinf(after["bounds/high"]).all()
    assert everything(trained_run) == source
    assert polytask.load(tmp_path / "run").act(np.zeros(2), LINE).shape == (1,)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["frozen", "adapters"])
def test_what_must_not_change_keeps_its_bits_and_a_resumed_run_is_exact(way, trained_run, tmp_path):
    config = asked(trained_run, "--transfer", way, steps=60)
    assert train(config, tmp_path / "through")
    assert train(dataclasses.replace(config, steps=40), tmp_path / "stopped")
    assert train(config, tmp_path / "stopped")
    assert diff(tmp_path / "through", tmp_path / "stopped") == []
    before, after = arrays(trained_run), arrays(tmp_path / "through")
    assert not moved(before, after, "actor")
    assert not moved(before, after, "critic")
    still = [name for name in before if name.startswith("agent/target_critic/") and "conditioning" not in name]
    for name in still:  # the critics' from the beginning
        np.testing.assert_array_equal(after[name], before[name.replace("target_critic", "critic")], err_msg=name)
    fresh = [name for name in after if "adapter/up" in name and name.startswith(("agent/actor", "agent/critic/"))]
    assert bool(fresh) == (way == "adapters")
    assert all(after[name].any() for name in fresh)
    if way == "adapters":
        assert asked(tmp_path / "through", "--transfer", "frozen", tasks=(POINT,)).agent.adapter_rank == sources.RANK


@pytest.mark.slow
def test_seeds_transfer_as_one_program(trained_run, tmp_path):
    runs = {seed: tmp_path / f"seed{seed}" for seed in (0, 1)}
    assert train_seeds(asked(trained_run, "--transfer", "frozen", steps=40), runs)
    one, other = (arrays(run) for run in runs.values())
    assert not moved(one, other, "critic")
    assert (one[TABLE] != other[TABLE]).any()


def test_the_most_similar_task_gives_its_embedding(trained_run, tmp_path, capsys):
    assert train(asked(trained_run, "--transfer", "similar"), tmp_path / "run")
    (found,) = json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"][0]["similar"].values()
    best = min(found["losses"], key=found["losses"].get)
    assert found["task"] == best
    assert set(found["losses"]) == {POINT, PLANE}
    row = (POINT, PLANE).index(best)
    np.testing.assert_array_equal(arrays(tmp_path / "run")[TABLE][0], arrays(trained_run)[TABLE][row])
    assert f"{LINE} begins as {best}" in " ".join(capsys.readouterr().out.split())


def test_kept_tasks_bring_their_replay_and_act_by_policy_while_the_new_one_explores(trained_run, tmp_path):
    source = everything(trained_run)
    config = asked(trained_run, "--keep", steps=3)
    assert config.tasks == (POINT, PLANE, LINE)
    assert train(config, tmp_path / "run")
    assert everything(trained_run) == source
    before, after = arrays(trained_run), arrays(tmp_path / "run")
    np.testing.assert_array_equal(after[TABLE][:2], before[TABLE])
    np.testing.assert_array_equal(after["agent/log_temperature"][:2], before["agent/log_temperature"])
    np.testing.assert_array_equal(after["bounds/high"][:2], before["bounds/high"])
    assert np.isinf(after["bounds/high"][2])
    found = checkpoint.find(tmp_path / "run")
    (ref,) = found.segments
    with np.load(tmp_path / "run" / "replay" / ref.name) as kept:
        last = checkpoint.find(trained_run).segments[-1]
        with np.load(trained_run / "replay" / last.name) as there:
            for task in ("rows/0", "rows/1"):  # rings of 50, which three steps go on with
                assert {row.tobytes() for row in there[task][-40:-1]} <= {row.tobytes() for row in kept[task]}
        assert kept["sampled/2"].sum() == 3
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    assert content["joined"] == {LINE: 0}
    assert train(dataclasses.replace(config, steps=4), tmp_path / "run")  # goes on without the source's replay


def test_forgetting_is_that_of_the_source_s_tasks(trained_run, tmp_path, monkeypatch):
    monkeypatch.setattr(averaging, "acting", lambda state, average: state)  # what is copied are the last weights
    code, _, err = command(
        "train", LINE, "--from", str(trained_run), *EVERY, "--steps", "1", "--run", str(tmp_path / "r"), report=True
    )
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "r" / "forgotten.json").read_text())
    assert list(found["task"]) == [POINT, PLANE]
    for task in found["task"].values():  # nothing was learned yet, so nothing can be forgotten
        assert task["before"]["return"] == pytest.approx(task["after"]["return"], rel=1e-5)
    page = (tmp_path / "r" / "report.html").read_text()
    assert "What was forgotten" in page


def test_what_cannot_be_is_refused_with_what_to_do(trained_run, tmp_path, monkeypatch):
    def refused(message, *more, tasks=(LINE,)):
        code, _, err = command(
            *("train", *tasks, "--from", str(trained_run), *EVERY, "--steps", "1", "--no-tensorboard"),
            *("--run", str(tmp_path / "run"), *more),
        )
        assert (code, message in err) == (2, True), err
        assert not (tmp_path / "run").exists()

    full = ("--transfer", "full")
    refused("was learned by", *full, tasks=(POINT,))
    refused("and no task is new", "--keep", tasks=(POINT,))
    refused("has 4 observations, and the networks of", *full, tasks=(SPACE,))
    refused("leave --agent.critic-width 32 out", *full, "--agent.critic-width", "32")
    refused("with --transfer full --agent.moving is all", *full, "--agent.moving", "heads")
    refused("its own", "--keep", "--replay-capacity", "40")
    content = json.loads((trained_run / "config.json").read_text())
    monkeypatch.setattr("polytask.runs.folder.RunFolder.read_config", lambda self: {**content, "invented": 1})
    refused("was written by another version of polytask", *full)


def test_a_transfer_without_a_source_is_refused():
    code, _, err = command("train", LINE, "--transfer", "frozen")
    assert (code, "name it, --from RUN" in " ".join(err.split())) == (2, True)


def test_one_task_s_networks_have_no_embedding_to_tell_more_apart(trained_run):
    source = sources.read(trained_run)
    alone = source._replace(specs=source.specs[:1], layout=source.layout[:1])
    with pytest.raises(ValueError, match="learned one task, without embeddings"):
        sources.check_sizes(alone, source.specs[1:], more=True)
    config = dataclasses.replace(source.config, start_from="x", transfer="frozen")
    frozen = dataclasses.replace(config, agent=dataclasses.replace(config.agent, moving="embeddings"))
    with pytest.raises(ValueError, match="nothing would move"):
        sources.check_agent(alone, frozen)


def test_images_and_choices_fit_or_are_refused(trained_run):
    seeing = TaskSpec("seeing", "gym", Image(12, 10, 3, 2), Choices((4,)), 20)
    layout = (seeing, TaskSpec("acting", "gym", Vector(3), Box((-1.0,), (1.0,)), 20))
    source = sources.read(trained_run)._replace(specs=layout, layout=layout)

    def fits(**changes):
        sources.check_sizes(source, [dataclasses.replace(seeing, name="new", **changes)], more=True)

    fits()
    fits(observation=Image(12, 10, 1), action=Choices((2, 2)))
    fits(observation=Vector(2), action=Box((0.0,), (1.0,)))
    with pytest.raises(ValueError, match=r"images of sizes that .* has no encoder for"):
        fits(observation=Image(14, 10, 1))
    with pytest.raises(ValueError, match=r"images of sizes that .* has no encoder for"):
        fits(observation=Image(12, 10, 3, 3))
    with pytest.raises(ValueError, match=r"has 5 choices, and the networks of .* are made for up to 4"):
        fits(action=Choices((5,)))
    with pytest.raises(ValueError, match="has 2 action dimensions"):
        fits(action=Box((0.0,) * 2, (1.0,) * 2))
    only = source._replace(specs=layout[:1], layout=(seeing, dataclasses.replace(seeing, name="other")))
    with pytest.raises(ValueError, match="action dimensions"):
        sources.check_sizes(only, [dataclasses.replace(layout[1], observation=seeing.observation)], more=True)


def test_a_frozen_run_can_be_extended_and_a_combined_one_be_a_frozen_source(trained_run):
    source = sources.read(trained_run)
    frozen = dataclasses.replace(source.config.agent, moving="embeddings")
    own = source._replace(config=dataclasses.replace(source.config, agent=frozen))
    sources.check_agent(own, own.config)  # as polytask extend asks, with nothing copied
    combined = dataclasses.replace(source.config.agent, actor_combiner="pcgrad")
    other = source._replace(config=dataclasses.replace(source.config, agent=combined, task_sampling="uniform"))
    assert sources.with_defaults(other, "frozen")["agent"].actor_combiner == "none"
    with pytest.raises(ValueError, match=r"--agent\.moving embeddings nothing does"):
        dataclasses.replace(combined, moving="embeddings")


def test_every_part_of_an_agent_is_split():
    assert split(None, "embeddings") == (None, None)  # the actor, where every task chooses
