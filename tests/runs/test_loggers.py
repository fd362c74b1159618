"""Loggers: valid JSON always, flat scalar names, and resumed runs that continue their curves."""

import json
import math
import struct
import sys
import types
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from polytask.runs import storage
from polytask.runs.folder import RunFolder
from polytask.runs.loggers import JsonlLogger, Loggers, TensorBoardLogger, WandbLogger, scalars

RECORD = {
    "step": 5000,
    "critic_loss": jnp.float32(0.5),
    "actor_loss": math.nan,
    "entropy": np.float64(np.inf),
    "temperature": None,
    "task": {"episode_return": {"gym/Pendulum-v1": np.float32(-100), "dmc/cheetah-run": None}},
    "time": {"simulate": 1.5},
    "replay_transitions": np.int64(10),
}
EVALUATION = {
    "step": 5000,
    "episodes": 2,
    "task": {"success": {"metaworld/reach-v3": [1, 0]}, "return": {"metaworld/reach-v3": np.array([1.0, np.nan])}},
    "embedding": {"metaworld/reach-v3": [0.1, 0.2]},
}


def test_json_lines_are_valid_and_out_at_once(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path)
    logger.metrics(RECORD)
    logger.evaluation(EVALUATION)

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert line["critic_loss"] == 0.5
    assert line["actor_loss"] is None
    assert line["entropy"] is None
    assert line["task"]["episode_return"] == {"gym/Pendulum-v1": -100.0, "dmc/cheetah-run": None}
    assert line["replay_transitions"] == 10
    evaluation = json.loads((tmp_path / "evaluations.jsonl").read_text(), parse_constant=refuse)
    assert evaluation["task"]["return"] == {"metaworld/reach-v3": [1.0, None]}
    logger.close()


def test_a_resumed_run_appends(tmp_path: Path) -> None:
    for step in (1, 2):
        with Loggers([JsonlLogger(tmp_path)]) as logger:
            logger.metrics({"step": step})
    assert RunFolder(tmp_path).read_metrics() == [{"step": 1}, {"step": 2}]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    logger = JsonlLogger(tmp_path)
    with pytest.raises(storage.StorageError, match=r"metrics\.jsonl: the disk is full"):
        logger.metrics({"step": 1})
    logger.close()


def test_scalars_are_flat_and_known() -> None:
    assert dict(scalars(RECORD)) == {
        "critic_loss": 0.5,
        "task/episode_return/gym/Pendulum-v1": -100.0,
        "time/simulate": 1.5,
        "replay_transitions": 10.0,
    }
    assert dict(scalars(EVALUATION, "evaluation/")) == {
        "evaluation/episodes": 2.0,
        "evaluation/task/success/metaworld/reach-v3": 0.5,
        "evaluation/task/return/metaworld/reach-v3": 1.0,
    }


def events(folder: Path) -> list:
    from tensorboardX.proto import event_pb2

    found = []
    for file in sorted(folder.glob("events.*"), key=lambda path: path.stat().st_mtime_ns):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            found.append(event_pb2.Event.FromString(data[12 : 12 + length]))  # pyright: ignore[reportAttributeAccessIssue]
            data = data[16 + length :]
    return found


def test_tensorboard_gets_the_scalars_and_hides_what_a_resumed_run_repeats(tmp_path: Path) -> None:
    with Loggers([TensorBoardLogger(tmp_path)]) as logger:
        logger.metrics(RECORD)
        logger.evaluation(EVALUATION)
    found = {
        value.tag: value.simple_value for event in events(tmp_path / "tensorboard") for value in event.summary.value
    }
    assert found == dict(scalars(RECORD)) | dict(scalars(EVALUATION, "evaluation/"))
    TensorBoardLogger(tmp_path, resumed_at=4000).close()
    restarts = [event.step for event in events(tmp_path / "tensorboard") if event.HasField("session_log")]
    assert restarts == [0, 4001]


def test_wandb_that_is_missing_says_how_to_install_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"pip install -e '.\[wandb\]'"):
        WandbLogger(tmp_path, {})


class FakeWandb(types.ModuleType):
    """Stands in for W&B, which would want an account: notes what it is called with."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.inits: list[dict] = []
        self.logged: list[dict] = []
        self.finished = 0

    def init(self, **options: object) -> "FakeWandb":
        self.inits.append(options)
        return self

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        pass

    def log(self, values: dict) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.finished += 1


def test_wandb_goes_on_with_the_same_run(tmp_path, monkeypatch) -> None:
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    for _ in range(2):
        with Loggers([WandbLogger(tmp_path, {"seed": 0})]) as logger:
            logger.metrics(RECORD)
    assert wandb.inits[0] == wandb.inits[1]
    assert wandb.inits[0]["config"] == {"seed": 0}
    assert wandb.logged[0] == {"step": 5000, **dict(scalars(RECORD))}
    assert wandb.finished == 2
