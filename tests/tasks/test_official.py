"""The official simulators behind `make_env`, and EnvPool beside them; skipped where the extra is not installed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from polytask.tasks import TaskOptions, dmc, make_env, metaworld, resolve
from polytask.tasks.draws import StdRandom

pytestmark = [
    pytest.mark.filterwarnings("ignore:`in1d` is deprecated:DeprecationWarning"),  # dm_control 1.0.28's quadrupeds
    pytest.mark.filterwarnings("ignore:Constant:UserWarning"),  # Meta-World's scripted experts
]


def need(package):
    return pytest.importorskip(package, reason=f"needs {package}: pip install 'polytask[official]'")


def test_draws_are_those_of_the_cpp_standard_library():
    # std::mt19937(5489) gives 3499211612, 581869302 first: the standard's own default seed.
    low, high = 3499211612, 581869302
    assert StdRandom(5489).uniform() == (low + high * 2**32) / 2**64
    assert StdRandom(1).uniform(2.0, 3.0, 4).shape == (4,)
    np.testing.assert_allclose(StdRandom(1).uniform([0.0, 1.0], [0.0, 1.0]), [0.0, 1.0])
    assert abs(np.mean(StdRandom(2).randn(4000))) < 0.05
    assert abs(np.std(StdRandom(2).normal(0.0, 2.0, 4000)) - 2.0) < 0.1


def test_pixels_are_what_the_camera_sees_of_the_same_task():
    need("dm_control")
    # In a process of its own, since the way to render is chosen when dm_control is imported.
    script = """
import numpy as np
from polytask.tasks import TaskOptions, make_env, resolve
state, pixels = resolve(["dmc/reacher-easy", "dmc-pixels/reacher-easy"], TaskOptions(frame_size=32))
try:
    envs = [make_env(pixels, 1, 0) for _ in range(2)]
except RuntimeError:
    raise SystemExit(3)
body = make_env(state, 1, 0)
frames = [env.reset()[0] for env in envs]
body.reset()
assert frames[0].shape == (32, 32, 3) and len(np.unique(frames[0])) > 50
assert (frames[0] == frames[1]).all()
for _ in range(10):
    action = np.array([0.7, -0.7])
    frame, reward, terminated, truncated, _ = envs[0].step(action)
    assert reward == sum(body.step(action)[1] for _ in range(2))
assert (frame != frames[0]).any() and not (terminated or truncated)
for env in (*envs, body):
    env.close()
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("nothing renders here")
    assert done.returncode == 0, done.stderr


def test_metaworld_episodes_are_seeded():
    need("metaworld")
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    (spec,) = resolve(["metaworld/reach-v3"], TaskOptions(horizon=3))
    one, other = make_env(spec, seed=1, goal_seed=0), make_env(spec, seed=1, goal_seed=0)
    goals = []
    for _ in range(3):
        first, again = one.reset()[0], other.reset()[0]
        np.testing.assert_array_equal(first, again)
        goals.append(tuple(first[36:]))
        for _ in range(3):
            observation, _, terminated, truncated, info = one.step(np.zeros(4, np.float32))
            other.step(np.zeros(4, np.float32))
        np.testing.assert_array_equal(observation[36:], first[36:])
        assert (terminated, truncated, info["success"]) == (False, True, 0.0)
    assert len(set(goals)) == 3
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_metaworld_fixed_goals_are_those_of_envpool():
    need("metaworld")
    from polytask.stepping import make_stepper

    tasks = resolve(["metaworld/push-v3"], TaskOptions(horizon=3, goals="fixed"))
    env = make_env(tasks.specs[0], seed=1, goal_seed=6)
    first = env.reset()[0]
    np.testing.assert_array_equal(env.reset()[0], first)
    stepper = make_stepper(tasks, "envpool", goal_seed=6)
    np.testing.assert_allclose(stepper.reset(99)[0], first, atol=1e-3)
    stepper.close()


def test_metaworld_rewards_of_version_1():
    need("metaworld")
    rewards = []
    for version in ("v1", "v2"):
        (spec,) = resolve(["metaworld/reach-v3"], TaskOptions(reward_version=version))
        env = make_env(spec, seed=1, goal_seed=0)
        env.reset()
        rewards.append(env.step(np.zeros(4, np.float32))[1])
    assert rewards[0] != rewards[1]


@pytest.mark.parametrize("task", ["cheetah-run", "ball_in_cup-catch", "finger-spin", "humanoid-run", "fish-upright"])
def test_dmc_observations_are_flattened_in_the_suites_order(task):
    need("dm_control")
    from dm_control.rl.control import flatten_observation

    (spec,) = resolve([f"dmc/{task}"])
    env = make_env(spec, seed=0, goal_seed=0)
    flat, _ = env.reset()
    suite = env.unwrapped._env
    wanted = flatten_observation(suite.task.get_observation(suite.physics))["observations"]
    np.testing.assert_array_equal(flat, wanted.astype(np.float32))
    step = env.step(env.action_space.sample())
    assert step[0].shape == (spec.observation_dim,)
    assert step[2:4] == (False, False)


@pytest.mark.slow
def test_the_tables_of_both_suites():
    need("dm_control")
    need("metaworld")
    from dm_control import suite
    from metaworld import env_dict

    assert {f"{domain}-{task}" for domain, task in suite.ALL_TASKS} == set(dmc.TASKS)
    assert tuple(env_dict.MT10_V3) == metaworld.MT10
    assert tuple(env_dict.MT25_V3) == metaworld.MT25
    assert tuple(env_dict.MT50_V3) == metaworld.TASKS
    for task, layout in dmc.LAYOUTS.items():
        if task == "quadruped-escape":  # wants an OpenGL context
            continue
        env = suite.load(*dmc.split(task))
        entries = env.observation_spec()
        assert layout.entries == tuple(entries)
        assert layout.observation_dim == sum(int(np.prod(entry.shape)) for entry in entries.values())
        bounds = env.action_spec()
        if not task.startswith("lqr"):
            (spec,) = resolve([f"dmc/{task}"])
            np.testing.assert_allclose(np.broadcast_to(bounds.minimum, bounds.shape), spec.action.low)
            np.testing.assert_allclose(np.broadcast_to(bounds.maximum, bounds.shape), spec.action.high)


@pytest.mark.slow
@pytest.mark.parametrize("task", metaworld.MT10)
def test_envpool_agrees_on_metaworld(task):
    need("metaworld")
    parity = parity_of(f"metaworld/{task}")
    assert not parity.differs(), parity


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(metaworld.OFFICIAL_ONLY))
def test_what_is_left_to_the_official_package_differs(task):
    """Random actions show it, but for one task."""
    need("metaworld")
    parity = parity_of(f"metaworld/{task}", expert_episodes=10 if task == "dial-turn-v3" else 0)
    assert parity.differs(), parity


@pytest.mark.slow
@pytest.mark.parametrize("task", [*dmc.GROUPS["dogs"], *dmc.GROUPS["humanoids"], "cartpole-swingup", "cheetah-run"])
def test_envpool_agrees_on_the_suite(task):
    need("dm_control")
    assert not parity_of(f"dmc/{task}").differs()


def parity_of(name, **options):
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parents[2] / "benchmarks" / "parity.py"
    loaded = importlib.util.spec_from_file_location("parity", path)
    parity = importlib.util.module_from_spec(loaded)
    sys.modules["parity"] = parity
    loaded.loader.exec_module(parity)
    return parity.measure(name, **options)


@pytest.mark.slow
def test_a_frame_can_be_rendered():
    """In a process of its own, since OpenGL is chosen once per process; skipped where there is none."""
    need("metaworld")
    code = (
        "from polytask.tasks import make_env, resolve\n"
        "for spec in resolve(['metaworld/reach-v3', 'dmc/cheetah-run']):\n"
        "    env = make_env(spec, 0, 0, render=True); env.reset(); frame = env.render(); env.close()\n"
        "    assert frame.shape == (480, 480, 3) and frame.std() > 0, frame.shape\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    if done.returncode != 0 and ("OpenGL" in done.stderr or "EGL" in done.stderr):
        pytest.skip("no OpenGL library for off-screen rendering here")
    assert done.returncode == 0, done.stderr
