"""Every field that all configurations have, in every kind of training: it does what it says, or is refused by flag."""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polytask.agents.registry import agent_config
from polytask.decisions import DecisionConfig
from polytask.fleets.config import FleetConfig
from polytask.offline.config import OfflineConfig
from polytask.online.config import TrainConfig as OnlineConfig
from polytask.runs import checkpoint
from polytask.supervised import OptimiserConfig, TrainConfig, TrunkConfig
from polytask.supervised.tables.config import TableConfig
from polytask.training import kinds
from polytask.training.config import RunConfig
from polytask.training.start import train
from tests.small import PLANE, POINT

EVERY: dict[str, Any] = {"steps": 80, "eval_every": 20, "checkpoint_every": 20, "tensorboard": False}
SLOW = 1e-12  # a learning rate at which no evaluation is better than the one before
TINY: dict[str, Any] = {
    "critic_width": 16,
    "critic_depth": 1,
    "actor_width": 16,
    "bins": 11,
    "batch_size": 8,
    "updates_per_step": 1,
}
_SETS = tempfile.TemporaryDirectory()
np.savez(
    f"{_SETS.name}/walk.npz",
    **dict.fromkeys(("observations", "next_observations"), np.ones((30, 2))),
    actions=np.ones((30, 1)),
    rewards=np.ones(30),
    terminals=np.ones(30),
)
Path(_SETS.name, "points.csv").write_text("x,y\n" + "".join(f"{x},{x % 7}.5\n" for x in range(60)))
CONFIGS = {
    "decisions": DecisionConfig(problem="problems/tests.decisions.small:shops", learning_rate=SLOW, **EVERY),
    "supervised": TrainConfig(
        problem="problems/tests.supervised.small:points",
        trunk=TrunkConfig(4, 1),
        optimiser=OptimiserConfig(learning_rate=SLOW),
        **EVERY,
    ),
    "tables": TableConfig(
        problem=f"{_SETS.name}/points.csv",
        targets=("y",),
        trunk=TrunkConfig(4, 1),
        optimiser=OptimiserConfig(learning_rate=SLOW),
        patience=0,
        **EVERY,
    ),
    "offline": OfflineConfig(
        (f"data:{_SETS.name}/walk.npz@{POINT}",),
        agent_config("td3-bc", width=8, depth=1, batch_size=8, learning_rate=SLOW),
        **EVERY,
    ),
    "fleets": FleetConfig(
        tasks=("fleets/u2-n3",),
        **dict.fromkeys(("width", "samples", "batch_size"), 4),
        depth=1,
        instances=2,
        learning_rate=SLOW,
        **EVERY,
    ),
    "online": OnlineConfig(
        (POINT, PLANE), agent_config("brc", **TINY, learning_rate=SLOW), warmup_steps=20, policy_average=0, **EVERY
    ),
}
CHANGED: dict[str, Any] = {
    "seed": 3,
    "steps": 100,
    "eval_every": 40,
    "checkpoint_every": 40,
    "patience": 1,
    "affinity_every": 10,
    "start_from": "",  # the first run
    "tensorboard": True,
    "wandb": True,
}
# What of these shows in one run; fields that hide each other's effect, or are refused, have one each.
RUNS = (
    ("seed", "checkpoint_every", "tensorboard"),
    ("eval_every", "start_from"),
    *((name,) for name in ("steps", "patience", "affinity_every", "wandb")),
)
REFUSED = {
    ("decisions", "affinity_every"): "--affinity-every .* a decision is one task: leave it out",
    ("fleets", "affinity_every"): "--affinity-every is not for fleets",
    ("offline", "affinity_every"): "affinity is measured while agents act: leave --affinity-every out",
}


def evaluations(run):
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


def saved(run):
    return sorted(int(path.name.removeprefix("step_")) for path in (run / "checkpoints").iterdir())


def does(name, run, first):
    """Whether a field does what it says, by the folder of a run that differs in it from the first."""
    if name == "seed":
        arrays, others = (checkpoint.read_arrays(checkpoint.find(path).path) for path in (run, first))
        return any(not np.array_equal(array, others[leaf]) for leaf, array in arrays.items())
    if name == "start_from":
        return json.loads((run / "provenance.json").read_text())["sessions"][-1]["from"].startswith(str(first))
    if name == "affinity_every":
        return (run / "affinity.jsonl").exists()
    if name == "tensorboard":
        return (run / "tensorboard").is_dir()
    if name == "patience":
        return "stopped_at" in evaluations(run)[-1]
    steps = [record["step"] for record in evaluations(run)]
    if name == "checkpoint_every":
        return saved(run) == [40, 80]
    return steps == {"steps": [20, 40, 60, 80, 100], "eval_every": [40, 80]}[name]


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=[pytest.mark.slow] if kind == "online" else []) for kind in CONFIGS],
)
def first(request, tmp_path_factory):
    """The kind, and a run of it."""
    run = tmp_path_factory.mktemp(request.param)
    assert train(CONFIGS[request.param], run)
    return request.param, run


def test_here_are_all_kinds_and_all_fields():
    # Steps of an evolution follow from its problems, and most fields are refused: tests/evolution has them.
    assert set(CONFIGS) == set(kinds.KINDS.built_in) - {"evolution"}
    assert list(CHANGED) == [field.name for field in dataclasses.fields(RunConfig)]
    assert sorted(sum(RUNS, ())) == sorted(CHANGED)


@pytest.mark.parametrize("names", RUNS, ids=" and ".join)
def test_a_field_does_what_it_says_or_is_refused(first, names, tmp_path, monkeypatch):
    kind, run = first
    changes = {name: str(run) if name == "start_from" else CHANGED[name] for name in names}
    monkeypatch.setitem(sys.modules, "wandb", None)

    def changed():
        return train(dataclasses.replace(CONFIGS[kind], **changes), tmp_path / "run")

    if message := REFUSED.get((kind, names[0])):
        with pytest.raises(ValueError, match=message):
            changed()
    elif names == ("wandb",):
        with pytest.raises(ImportError, match="train without --wandb"):
            changed()
    else:
        assert not any(does(name, run, run) for name in names if name != "start_from")
        assert changed()
        assert all(does(name, tmp_path / "run", run) for name in names)


@pytest.mark.parametrize("kind", ["online", "supervised"])
def test_patience_without_evaluations_is_refused(kind):
    with pytest.raises(ValueError, match="--patience counts evaluations, and --eval-every 0 makes none"):
        dataclasses.replace(CONFIGS[kind], patience=1, eval_every=0)
