"""Suites from other packages, by entry points."""

import re
from pathlib import Path

import numpy as np
import pytest

from polytask.stepping import make_stepper
from polytask.tasks import (
    Suite,
    TaskOptions,
    TaskSpec,
    UnknownTaskError,
    catalogue,
    make_env,
    named_sets,
    resolve,
)
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import spec_from
from polytask.tasks.suite import ENTRY_POINTS
from polytask.tasks.suites import suite_of
from tests.small import command

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def install_suite(install):
    """Installs a package that offers suites: its name, its source, its entry points."""
    return lambda module, source, entries: install(module, source, ENTRY_POINTS, entries)


@pytest.fixture
def maze(install_suite):
    """The suite of the docs' recipe."""
    (recipe,) = {
        code
        for file in DOCS.glob("*.md")
        for code in re.findall(r"```python\n(# maze_suite\.py.*?)```", file.read_text(), re.DOTALL)
    }
    install_suite("maze_suite", recipe, "maze = maze_suite:SUITE")


def test_the_recipe_s_suite_is_named_listed_and_stepped(maze):
    tasks = resolve(["maze/all"], TaskOptions(horizon=5, discount=0.9))
    assert tasks.names == ("maze/small", "maze/wide", "maze/huge")
    spec = tasks.specs[1]
    assert (spec.suite, spec.horizon, spec.discount, spec.success, spec.engine) == (
        "maze",
        5,
        0.9,
        "any-step",
        "serial",
    )
    assert resolve(["maze/small"]).horizon == 100
    assert named_sets()["maze/all"] == tasks.names
    assert [spec.name for spec in catalogue("maze/*")] == list(tasks.names)
    assert len(catalogue(None)) == 395
    streams = []
    for engine in ("serial", "process"):
        stepper = make_stepper(tasks, engine, goal_seed=0)
        streams.append([stepper.reset(3), stepper.step(np.ones((3, 2), np.float32)).next_observations])
        stepper.close()
    np.testing.assert_array_equal(streams[0], streams[1])
    assert (np.abs(streams[0][0]) <= [[1.0], [2.0], [4.0]]).all()


def test_its_names_are_suggested_and_its_tasks_listed_by_the_command(maze):
    with pytest.raises(UnknownTaskError, match=r"unknown task 'maze/smal'\. Did you mean maze/small"):
        resolve(["maze/smal"])
    with pytest.raises(UnknownTaskError, match=r"suites metaworld, dmc, gym, .*, maze"):
        resolve(["labyrinth/one"])
    code, out, _ = command("tasks", "maze/all")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["task", "maze/small", "maze/wide", "maze/huge"]


def test_envpool_does_not_step_it(maze):
    with pytest.raises(ValueError, match=r"maze/small.*--engine auto"):
        make_stepper(resolve(["maze/small"]), "envpool", goal_seed=0)


def test_a_built_in_name_asks_no_other_package(monkeypatch):
    from importlib import metadata

    monkeypatch.setattr(metadata, "entry_points", lambda **_: pytest.fail("asked"))
    assert len(resolve(["metaworld/mt10", "dmc/dogs", "gym/Pendulum-v1"])) == 15


BROKEN = {
    "raises": ("import no_such_module", "loops = loops_suite:SUITE", "loops_suite.*no_such_module.*uninstall"),
    "no suite": ("SUITE = {}", "loops = loops_suite:SUITE", "is a dict.*polytask.tasks.suite.Suite"),
    "another name": (
        "from polytask.tasks import Suite\nSUITE = Suite('knots', spec=print, build=print)",
        "loops = loops_suite:SUITE",
        "calls itself 'knots'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_package_is_named_and_does_not_stand_in_the_way_of_the_others(install_suite, case):
    source, entry, text = BROKEN[case]
    install_suite("loops_suite", source, entry)
    with pytest.raises(ImportError, match=text):
        resolve(["loops/one"])
    with pytest.warns(UserWarning, match=f"left out.*{text}"):
        assert len(catalogue("dmc/dogs")) == 4


def test_a_built_in_name_cannot_be_taken(install_suite):
    install_suite("loops_suite", "", "dmc = loops_suite:SUITE")
    assert len(resolve(["dmc/dogs"])) == 4
    with pytest.warns(UserWarning, match="'dmc'.*loops_suite.*another one"):
        assert len(named_sets()) == 9


def test_a_spec_of_another_name_is_refused(install_suite):
    install_suite(
        "loops_suite",
        "from polytask.tasks import Box, Suite, TaskSpec, Vector\n"
        "def spec(task, options): return TaskSpec(task, 'loops', Vector(1), Box((0.0,), (1.0,)), 5)\n"
        "SUITE = Suite('loops', spec=spec, build=print)",
        "loops = loops_suite:SUITE",
    )
    with pytest.raises(ValueError, match="name='loops/one', suite='loops'"):
        resolve(["loops/one"])


def test_a_task_whose_suite_is_not_installed_says_so():
    spec = TaskSpec("loops/one", "loops", Vector(1), Box((0.0,), (1.0,)), 5)
    for wanted in (lambda: suite_of(spec), lambda: make_env(spec, 0, 0)):
        with pytest.raises(ModuleNotFoundError, match=r"loops/one.*no installed package offers.*polytask\.suites"):
            wanted()


def test_a_suite_that_contradicts_itself_is_refused():
    def make(**fields):
        return Suite(**{"name": "loops", "spec": print, "build": print} | fields)

    with pytest.raises(ValueError, match="before the /"):
        make(name="loops/")
    with pytest.raises(ValueError, match="groups name tasks that it has not: two"):
        make(tasks=("one",), groups={"all": ("one", "two")})
    with pytest.raises(ValueError, match="names a task and a group"):
        make(tasks=("one",), groups={"one": ("one",)})


def test_a_missing_package_of_a_suite_names_its_command():
    suite = Suite("loops", spec=print, build=print, package="no_such_simulator", install="pip install loops[sim]")
    with pytest.raises(ModuleNotFoundError, match=r"loops/one.*no_such_simulator.*pip install loops\[sim\]\.$"):
        suite.require("loops/one")


def test_options_survive_json():
    import dataclasses
    import json

    options = (("terrain", "hills"), ("depth", 3))
    spec = TaskSpec("loops/one", "loops", Vector(1), Box((0.0,), (1.0,)), 5, options=options)
    again = spec_from(json.loads(json.dumps(dataclasses.asdict(spec))))
    assert again == spec
    assert hash(again) == hash(spec)
