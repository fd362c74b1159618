"""What the agent sees stands beside the curves of tasks that have images."""

import re

import numpy as np
import pytest

from polytask.report import write_report
from polytask.report.data import read_run
from polytask.report.stills import stills
from polytask.runs import checkpoint
from polytask.tasks.spaces import Choices, Image, Named, Observations, Vector
from polytask.tasks.spec import TaskSpec
from tests.report.conftest import gym, make_run

GAME = TaskSpec("a/game", "a", Image(8, 8, 1, 2), Choices((3,)), 10, score_range=(0.0, 1.0))
ROBOT = TaskSpec("a/robot", "a", Named((("eye", Image(9, 9, 3)), ("arm", Vector(2)))), Choices((2,)), 10)


@pytest.fixture
def run(tmp_path):
    found = make_run(tmp_path / "run", [GAME, *gym(), ROBOT], evaluations=2)
    images = (np.full((3, 8, 8, 2), 7, np.uint8), np.full((3, 9, 9, 3), 8, np.uint8))
    checkpoint.save(found, 10, {"observations": Observations(np.zeros((3, 3), np.float32), images)}, {})
    return found


def shown(run) -> list[str]:
    html = write_report([run], run / "report.html").read_text()
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'<img[^>]* src="([^"]*)', html))
    return re.findall(r'alt="What the agent sees of ([^"]*)"', html)


def test_each_task_with_images_shows_one_and_the_others_none(run):
    assert shown(run) == ["a/game", "a/robot"]


def test_a_run_without_an_intact_checkpoint_shows_none(run):
    next((run / "checkpoints").glob("*/arrays.npz")).write_bytes(b"cut")
    assert stills([read_run(run)]) == {}
