"""From names to TaskSpecs."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from polytask.tasks import TaskOptions, UnknownTaskError, catalogue, make_env, named_sets, resolve
from polytask.tasks.minatar import GAMES
from polytask.tasks.spaces import Box, Vector
from tests.small import command


def test_sets_expand_in_place_and_keep_their_order():
    tasks = resolve(["dmc/cheetah-run", "metaworld/mt10", "gym/Pendulum-v1"])
    assert len(tasks) == 12
    assert tasks.names[:2] == ("dmc/cheetah-run", "metaworld/reach-v3")
    assert tasks.names[-1] == "gym/Pendulum-v1"
    assert (tasks.observation_dim, tasks.action_dim, tasks.horizon) == (39, 6, 1000)
    sizes = {name: len(resolve([name])) for name in named_sets()}
    assert sizes == {
        "metaworld/mt10": 10,
        "metaworld/mt25": 25,
        "metaworld/mt50": 50,
        "dmc/dogs": 4,
        "dmc/humanoids": 3,
        "minatar/all": 5,
        "atari/57": 57,
        "procgen/easy": 16,
        "procgen/hard": 16,
    }


def test_facts_of_the_suites():
    reach, run, catch, walk = resolve(
        ["metaworld/reach-v3", "dmc/dog-run", "dmc/ball_in_cup-catch", "dmc/quadruped-walk"]
    )
    assert (reach.observation_dim, reach.action_dim, reach.horizon, reach.success) == (39, 4, 200, "any-step")
    assert (reach.reward_version, reach.goals, reach.score_range, reach.engine) == ("v2", "varying", None, "envpool")
    assert (run.observation_dim, run.action_dim, run.horizon, run.success) == (223, 38, 1000, "none")
    assert (run.score_range, run.goals, run.reward_version) == ((0.0, 1000.0), None, None)
    assert (catch.observation_dim, catch.action_dim) == (8, 2)
    assert walk.action.high[:3] == (1.0, 1.1, 0.8)


def test_mt10_needs_nothing_but_envpool():
    assert {spec.engine for spec in resolve(["metaworld/mt10", "dmc/dogs", "dmc/humanoids"])} == {"envpool"}


def test_options_travel_into_the_specs():
    (spec,) = resolve(
        ["metaworld/reach-v3"], TaskOptions(horizon=500, goals="fixed", reward_version="v1", discount=0.9)
    )
    assert (spec.horizon, spec.goals, spec.reward_version, spec.discount) == (500, "fixed", "v1", 0.9)
    assert spec.engine == "process"  # EnvPool has no v1 rewards
    assert resolve(["dmc/walker-run"], TaskOptions(horizon=50)).specs[0].score_range == (0.0, 50.0)
    assert resolve(["gym/Pendulum-v1"], TaskOptions(horizon=7)).horizon == 7
    with pytest.raises(ValueError, match=r"--task\.horizon must be at least 1"):
        TaskOptions(horizon=0)
    with pytest.raises(ValueError, match="below 1"):
        TaskOptions(discount=1.5)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("metaworld/reech-v3", "metaworld/reach-v3"),
        ("metaworld/mt11", "metaworld/mt10"),
        ("dmc/cheeta-run", "dmc/cheetah-run"),
        ("cheetah-run", "dmc/cheetah-run"),
        ("dmc/humanoid", "dmc/humanoids"),
        ("gym/Pendulm-v1", "gym/Pendulum-v1"),
    ],
)
def test_a_misspelt_name_suggests_the_nearest(name, nearest):
    with pytest.raises(UnknownTaskError, match=f"unknown task '{name}'.*{nearest}"):
        resolve([name])


def test_repeats_are_refused():
    with pytest.raises(ValueError, match="more than once: metaworld/reach-v3"):
        resolve(["metaworld/mt10", "metaworld/reach-v3"])


def test_catalogue():
    everything = catalogue(None)
    assert len(everything) == 50 + 2 * 51 + len(GAMES) + 104 + 81 + 50
    assert [spec.name for spec in catalogue("reach")] == [
        "metaworld/reach-v3",
        "metaworld/reach-wall-v3",
        "dmc/reacher-easy",
        "dmc/reacher-hard",
        "dmc-pixels/reacher-easy",
        "dmc-pixels/reacher-hard",
    ]
    assert len(catalogue("dmc/walker-*")) == 3
    assert len(catalogue("metaworld/mt10")) == 10
    assert [spec.name for spec in catalogue("gym/Pend*")] == ["gym/Pendulum-v1"]
    assert catalogue("no such thing") == []


def test_groups_are_found_by_their_bare_names():
    assert [spec.name for spec in catalogue("mt10")] == list(named_sets()["metaworld/mt10"])
    with pytest.raises(UnknownTaskError, match="Did you mean metaworld/mt10"):
        resolve(["mt10"])
    with pytest.raises(UnknownTaskError, match=r"unknown task 'dog'\. Did you mean dmc/dogs"):
        resolve(["dog"])


@pytest.mark.parametrize(
    ("pattern", "tasks", "groups"),
    [
        ("mt10", 10, ["metaworld/mt10"]),
        ("mt", 0, ["metaworld/mt10", "metaworld/mt25", "metaworld/mt50"]),
        ("dmc/dogs", 4, []),
    ],
)
def test_the_command_lists_groups_beside_tasks(pattern, tasks, groups):
    code, out, _ = command("tasks", pattern)
    assert code == 0
    words = [line.split()[0] for line in out.splitlines() if "/" in line.split(" (")[0]]
    assert words[tasks:] == groups
    assert len(words) == tasks + len(groups)


def test_the_command_suggests_groups():
    code, _, err = command("tasks", "metaworlds/mt10")
    assert (code, "Did you mean metaworld/mt10" in err) == (2, True)


def test_own_environments_by_callable():
    counter, goal, endless = resolve(["gym/probes:counter", "gym/probes:Goal", "gym/probes:endless"])
    assert (counter.observation, counter.action) == (Vector(3), Box((-1.0, 0.0), (1.0, 4.0)))
    assert (counter.horizon, counter.success, counter.engine) == (50, "any-step", "serial")
    assert goal.observation_dim == 7  # 3 of "state", 2x2 of "goal"
    assert endless.horizon == 4
    assert resolve(["gym/Pendulum-v1"]).specs[0].success == "none"


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("gym/probes:unbounded", ValueError, "unbounded actions"),
        ("gym/probes:without_horizon", ValueError, "--task.horizon"),
        ("gym/probes:broken", RuntimeError, "probes:broken.*OSError: no licence"),
        ("gym/probes:nothing", UnknownTaskError, "no such callable"),
        ("gym/no_such_module:make", ModuleNotFoundError, "gym/no_such_module:make.*PYTHONPATH"),
        ("gym/humanoid_bench:h1-walk-v0", ModuleNotFoundError, "pip install git"),
        ("gym/h1hand-run-v0", ModuleNotFoundError, "humanoid_bench.*pip install git"),
    ],
)
def test_environments_that_do_not_fit_say_why(name, error, text):
    with pytest.raises(error, match=text):
        resolve([name])


def test_a_horizon_can_be_given_to_an_environment_without_one():
    assert resolve(["gym/probes:without_horizon"], TaskOptions(horizon=30)).horizon == 30


def test_make_env_is_what_its_spec_says():
    (spec,) = resolve(["gym/probes:Goal"], TaskOptions(horizon=3))
    env = make_env(spec, seed=4, goal_seed=0)
    first, _ = env.reset()
    assert env.observation_space.shape == first.shape == (7,)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(env.action_space.high, [1.0, 4.0])
    steps = [env.step(np.zeros(2, np.float32)) for _ in range(3)]
    assert [step[3] for step in steps] == [False, False, True]
    assert [step[4]["success"] for step in steps] == [0.0, 1.0, 0.0]
    np.testing.assert_array_equal(make_env(spec, seed=4, goal_seed=0).reset()[0], first)


def test_a_missing_official_package_names_the_extra(monkeypatch):
    from polytask.stepping import make_stepper

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "metaworld" else found(name, *a))
    tasks = resolve(["metaworld/reach-v3"], TaskOptions(reward_version="v1"))
    with pytest.raises(
        ModuleNotFoundError, match=r"metaworld/reach-v3.*pip install -e '.\[official\]'.*--engine envpool"
    ):
        make_stepper(tasks, goal_seed=0)


def test_naming_tasks_is_cheap():
    """`polytask tasks` and a loaded run need no simulator."""
    code = (
        "import sys; from polytask.tasks import catalogue, resolve; resolve(['metaworld/mt50', 'dmc/dogs']); "
        "catalogue(None); print(sorted({'jax', 'envpool', 'gymnasium', 'metaworld', 'dm_control'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize(("horizon", "discount"), [(10, 0.95), (200, 0.97), (600, 0.99), (5_000, 0.99)])
def test_a_discount_by_the_horizon_looks_a_sixth_of_an_episode_ahead(horizon, discount):
    options = TaskOptions(discount="by-horizon", horizon=horizon)
    for task in ("metaworld/reach-v3", "dmc/cheetah-run", "gym/Pendulum-v1"):
        assert resolve([task], options).specs[0].discount == pytest.approx(discount)
