"""Compiled programs: ready before they are needed, and kept where they can be, at no risk."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from polytask import random
from polytask.agents.config import BRCConfig
from polytask.agents.factory import make_agent
from polytask.machine import cores
from polytask.replay import Replay
from polytask.runs import compilation
from polytask.runs.compilation import CompilingAhead
from polytask.tasks.registry import resolve

BATCH, DIAGNOSED = 5, 3
PROBES = ("gym/tests.learning.probes:up", "gym/tests.learning.probes:wide")

# Compiles a small program; prints the folder, and whether it came from the cache.
COMPILES = """
import sys, warnings
warnings.simplefilter("error")
import jax
from polytask.runs.compilation import keep_compiled
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
folder = keep_compiled()
assert float(jax.jit(lambda x: x * 3 + 1)(2.0)) == 7
print(folder, "/jax/compilation_cache/cache_hits" in hits)
"""


def compiles(**environment: str) -> list[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XDG_"))}
    command = [sys.executable, "-c", COMPILES]
    done = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_cache_is_kept_in_the_user_s_folder_and_damage_costs_only_time(tmp_path):
    folder = tmp_path / "polytask" / "jax" / f"{cores()}-cores"
    assert compiles(XDG_CACHE_HOME=str(tmp_path)) == [str(folder), "False"]
    assert folder.stat().st_mode & 0o077 == 0
    assert compiles(XDG_CACHE_HOME=str(tmp_path)) == [str(folder), "True"]
    entries = [path for path in folder.iterdir() if path.name.endswith("-cache")]
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-20])
    assert compiles(XDG_CACHE_HOME=str(tmp_path)) == [str(folder), "False"]


def test_jax_s_own_setting_wins(tmp_path):
    own = tmp_path / "own"
    assert compiles(XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=str(own))[0] == str(own)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert compiles(XDG_CACHE_HOME=str(tmp_path / "file")) == ["None", "False"]


def test_hardly_any_room_is_no_room(tmp_path, monkeypatch):
    assert compilation._writable(tmp_path)
    monkeypatch.setattr(compilation, "_ROOM", 2**70)
    assert not compilation._writable(tmp_path)


@pytest.mark.parametrize(("given", "expected"), [("/caches", "/caches"), ("", None), ("relative/path", None)])
def test_the_folder_follows_the_standard(given, expected, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    base = Path(expected) if expected else tmp_path / ".cache"
    monkeypatch.setattr(compilation, "cores", lambda: 3)
    assert compilation._user_folder() == base / "polytask" / "jax" / "3-cores"


def test_pruning_keeps_what_was_used_last(tmp_path):
    for age in range(10):
        (tmp_path / f"{age}-cache").write_bytes(bytes(100))
        os.utime(tmp_path / f"{age}-cache", (10_000 - age, 5_000))
    compilation._prune(tmp_path, limit=1000)
    assert len(list(tmp_path.iterdir())) == 10
    compilation._prune(tmp_path, limit=999)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{age}-cache" for age in range(4)]


@pytest.mark.slow
def test_what_is_compiled_ahead_is_not_compiled_again():
    tasks = resolve(PROBES)
    agent = make_agent(BRCConfig(critic_width=8, critic_depth=1, actor_width=8, bins=11), tasks)
    key, ids = random.key(0, "any"), np.arange(2, dtype=np.int32)
    observations = np.zeros((2, tasks.observation_dim), np.float32)
    replay = Replay(2, tasks.observation_dim, tasks.action_dim, 8)
    no, actions = np.zeros(2, bool), np.zeros((2, tasks.action_dim), np.float32)
    replay.insert(observations, actions, np.zeros(2, np.float32), no, no, observations, ~no)
    generator, bound = np.random.default_rng(0), np.ones(2, np.float32)
    batches = replay.sample(3, BATCH, generator), replay.sample_per_task(DIAGNOSED, generator)
    state = agent.init(key)
    for compile_it in agent.programs(key, updates=3, batch_size=BATCH, diagnosed=DIAGNOSED).values():
        compile_it()

    compiled: list[str] = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.jit(lambda x: x + 1.5)(np.float32(1))  # the event's name is still what JAX calls it
        assert compiled == ["/jax/core/compile/backend_compile_duration"]
        agent.act(state, observations, ids, key)
        agent.diagnose(state, batches[1], bound, key)
        agent.update(state, batches[0], bound, key)
        assert len(compiled) == 1
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_programs_are_compiled_in_their_order_and_failures_reach_who_waits():
    order, gate = [], threading.Event()

    def fails():
        gate.wait(5)
        raise ValueError("no such operation")

    programs = {"act": lambda: order.append("act"), "update": fails, "diagnose": lambda: order.append("diagnose")}
    with contextlib.closing(CompilingAhead(lambda: programs, ["act", "update", "diagnose"])) as ahead:
        ahead.wait("act")
        assert order == ["act"]
        assert ahead.busy("update")
        ahead.wait("unknown")
        assert not ahead.busy("unknown")
        gate.set()
        with pytest.raises(ValueError, match="no such operation"):
            ahead.wait("update")
        ahead.wait("diagnose")
    assert order == ["act", "diagnose"]


def test_what_has_not_begun_when_the_run_ends_is_never_compiled():
    begun, gate, order = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        gate.wait(5)

    with contextlib.closing(
        CompilingAhead(lambda: {"act": slow, "update": lambda: order.append("update")}, ["act", "update"])
    ):
        begun.wait(5)
        threading.Timer(0.05, gate.set).start()
    assert order == []
