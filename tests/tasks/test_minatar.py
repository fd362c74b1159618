"""The facts of MinAtar's games are those of the package, and its games keep to the contract of stepping."""

import importlib.util

import numpy as np
import pytest

from polytask.tasks import make_env, resolve
from polytask.tasks.minatar import GAMES

needs_minatar = pytest.mark.skipif(importlib.util.find_spec("minatar") is None, reason="needs minatar")


def test_games_by_name_and_together():
    assert resolve(["minatar/all"]).names == tuple(f"minatar/{game}" for game in GAMES)
    tasks = resolve(["minatar/breakout", "minatar/seaquest"])
    assert (tasks.images, tasks.choices) == (((10, 10, 10),), 6)


@needs_minatar
@pytest.mark.parametrize("game", GAMES)
def test_facts_are_the_package_s(game):
    from minatar import Environment

    official = Environment(game.replace("-", "_"))
    spec = resolve([f"minatar/{game}"]).specs[0]
    assert [spec.observation.height, spec.observation.width, spec.observation.channels] == official.state_shape()
    assert list(GAMES[game][1]) == official.minimal_action_set()


@needs_minatar
@pytest.mark.parametrize("game", GAMES)
def test_an_episode_is_decided_by_its_seed_and_actions(game):
    spec = resolve([f"minatar/{game}"]).specs[0]

    def episode(seed: int) -> tuple[list[np.ndarray], float]:
        env, draw = make_env(spec, seed, 0), np.random.default_rng(0)
        seen, total = [env.reset()[0]], 0.0
        for _ in range(60):
            observation, reward, terminated, truncated, _ = env.step(
                np.array([draw.integers(spec.choices)], np.float32)
            )
            seen.append(observation)
            total += reward
            if terminated or truncated:
                break
        return seen, total

    (one, reward), (again, same) = episode(3), episode(3)
    np.testing.assert_array_equal(one, again)
    assert reward == same
    assert {int(value) for value in np.unique(one)} == {0, 255}
