"""A run that is stopped, killed or damaged ends with the bits of one that is left alone."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from polytask.runs import checkpoint
from polytask.runs.diff import diff
from polytask.runs.storage import TEMPORARY
from polytask.training.start import train
from tests.small import TRAINED, asked

PROBES = ("gym/tests.learning.probes:up", "gym/tests.learning.probes:truncates")


def config(**changes):
    """What the run that tests share is trained with."""
    return dataclasses.replace(asked(*TRAINED)[0], tensorboard=False, **changes)


def test_two_runs_of_one_seed_are_identical(trained_run, tmp_path):
    train(config(), tmp_path / "again")
    assert diff(trained_run, tmp_path / "again") == []


def test_evaluating_never_changes_training(trained_run, tmp_path):
    train(config(eval_every=0), tmp_path / "blind")
    assert diff(trained_run, tmp_path / "blind") == []


def test_averaging_the_policy_never_changes_training(trained_run, tmp_path):
    train(config(policy_average=0), tmp_path / "last")
    names = {difference.name for difference in diff(trained_run, tmp_path / "last")}
    assert "state/average/steps" in names
    assert not [name for name in names if not name.startswith(("state/average/", "counters/averaged"))]


@pytest.mark.slow
def test_an_average_may_begin_and_end_with_any_resumption(tmp_path):
    """A run trained without one begins it when it goes on, and a run that kept one may go on without."""
    run = tmp_path / "run"
    for steps, window, averaged in ((40, 0, None), (60, 5, 20), (80, 7, 40), (90, 0, None)):
        assert train(config(steps=steps, policy_average=window), run)
        kept = checkpoint.read_arrays(checkpoint.latest(run).path)
        assert kept.get("average/steps") == averaged


def test_a_checkpoint_needs_no_segment_that_is_overwritten(trained_run):
    """The ring of 50 slots laps after the checkpoint at step 60: nothing from before is left."""
    found = checkpoint.latest(trained_run)
    assert found is not None
    assert next(ref.name for ref in found.segments) == "steps_000000060_000000120.npz"


def test_other_seeds_differ(trained_run, tmp_path):
    train(config(seed=1), tmp_path / "other")
    assert diff(trained_run, tmp_path / "other") != []


@pytest.mark.slow
def test_a_replay_on_disk_ends_alike_and_may_take_over(trained_run, tmp_path):
    run = tmp_path / "disk"
    train(config(steps=40, replay_storage="disk"), run)
    assert train(config(replay_storage="disk"), run)
    assert diff(trained_run, run) == []
    train(config(steps=40), tmp_path / "moved")
    assert train(config(replay_storage="disk"), tmp_path / "moved")
    assert diff(trained_run, tmp_path / "moved") == []


def logged_steps(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [45, 60])
def test_stopped_between_and_at_checkpoints_then_resumed(trained_run, tmp_path, stop_at):
    run = tmp_path / "stopped"
    train(config(steps=stop_at), run)
    assert train(config(), run)
    assert diff(trained_run, run) == []
    ended = [] if stop_at % config().log_every == 0 else [stop_at]  # the line that every run ends with
    assert logged_steps(run) == sorted([*logged_steps(trained_run), *ended])


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_time_but_no_bit(trained_run, tmp_path, capsys):
    run = tmp_path / "damaged"
    train(config(steps=75), run)
    arrays = run / "checkpoints" / "step_000000075" / "arrays.npz"
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    arrays.write_bytes(data)
    assert train(config(), run)
    assert "step_000000075" in capsys.readouterr().out
    assert diff(trained_run, run) == []


KILLED = """
import sys
from pathlib import Path
from polytask.agents.config import BRCConfig
from polytask.online.config import TrainConfig
from polytask.training.start import train
from polytask.tasks.options import TaskOptions

agent = BRCConfig(critic_width=8, actor_width=8, batch_size=8, bins=11)
train(
    TrainConfig(
        tasks=tuple(sys.argv[3:]), agent=agent, task=TaskOptions(horizon=10), steps=1_200, warmup_steps=200,
        replay_capacity=700, checkpoint_every=100, log_every=100, eval_every=0, tensorboard=False, engine=sys.argv[1],
    ),
    Path(sys.argv[2]),
)
"""


def start(engine, run, tasks, cache):
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    command = [sys.executable, "-c", KILLED, engine, str(run), *tasks]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process):
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()


def wait_for(process, condition):
    while process.poll() is None and not condition():
        time.sleep(0.0005)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of these runs alone: a killed one may leave a damaged entry."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "tasks", "seed"),
    [
        ("serial", PROBES, 0),
        ("process", PROBES, 1),
        ("envpool", ("dmc/cartpole-swingup", "metaworld/reach-v3"), 2),
    ],
)
def test_killed_at_random_points_and_during_checkpoints(engine, tasks, seed, cache, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(engine, whole, tasks, cache))
    generator = np.random.default_rng(seed)
    checkpoints = killed / "checkpoints"
    for in_checkpoint in (False, True):
        process = start(engine, killed, tasks, cache)
        if in_checkpoint:
            # In the midst of writing a checkpoint: unfinished files carry a temporary name.
            wait_for(process, lambda: any(killed.glob(f"*/{TEMPORARY}*")))
        else:
            wait_for(process, lambda: any(checkpoints.glob("step_*")))
            time.sleep(float(generator.uniform(0, 0.5)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(engine, killed, tasks, cache))
    assert diff(whole, killed) == []
