"""Agents from data beside d3rlpy's, on one small set of Pendulum: the same data, sizes, rates, steps and episodes.

    python benchmarks/from_data.py make set.npz
    python benchmarks/from_data.py ours set.npz --seeds 3
    PEER/bin/python benchmarks/from_data.py peer set.npz --seeds 3      # an environment with d3rlpy 2.8.1

The set has 25 episodes of a swing-up controller, from skilled to random; its rewards are divided by 16, so that one
step costs about 1 at most. Scores are raw returns of ten episodes with the policy's mode, the same starts for all.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

WIDTH, BATCH, RATE, SCALE = 64, 64, 1e-3, 16.0
KINDS = ("td3-bc", "iql", "bcq")


def controlled(observation: np.ndarray) -> float:
    """Pumps energy until the pendulum stands, then holds it; a torque in [-2, 2]."""
    cos, sin, speed = observation
    angle = np.arctan2(sin, cos)
    if cos > 0.9:
        return float(np.clip(-12 * angle - 3 * speed, -2, 2))
    missing = 10 * (1 - cos) / 2 * 3 - 0.5 * speed**2
    return float(np.clip(np.sign(missing) * 2 * np.sign(speed or 1.0), -2, 2))


def make(file: Path, episodes: int = 25) -> None:
    """Writes the set, in D4RL's form."""
    rng, env = np.random.default_rng(0), gymnasium.make("Pendulum-v1")
    columns: dict[str, list[Any]] = {
        name: [] for name in ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
    }
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        skill, done = rng.uniform(), False
        while not done:
            torque = controlled(observation) if rng.uniform() < skill else rng.uniform(-2, 2)
            action = np.clip(np.array([torque + 0.2 * rng.normal()], np.float32), -2, 2)
            after, reward, _, done, _ = env.step(action)
            step = (observation, action, reward / SCALE, False, done, after)
            for name, value in zip(columns, step, strict=True):
                columns[name].append(value)
            observation = after
    arrays = {name: np.array(values) for name, values in columns.items()}
    np.savez(file, **arrays)
    returns = SCALE * arrays["rewards"].reshape(episodes, -1).sum(axis=1)
    print(json.dumps({"logged": [returns.mean(), returns.min(), returns.max()]}))


def scored(act: Callable[[np.ndarray], np.ndarray]) -> float:
    """The mean raw return of ten episodes."""
    env, total = gymnasium.make("Pendulum-v1"), 0.0
    for episode in range(10):
        observation, _ = env.reset(seed=1000 + episode)
        done = False
        while not done:
            observation, reward, _, done, _ = env.step(np.asarray(act(observation), np.float32))
            total += float(reward) / 10
    return total


def ours(file: Path, kind: str, seed: int, steps: int) -> float:
    """Trains and scores polytask's agent of a kind."""
    import polytask
    from polytask.agents.registry import agent_config
    from polytask.offline.config import OfflineConfig
    from polytask.training.start import train

    sizes = {"width": WIDTH, "batch_size": BATCH, "learning_rate": RATE, "normalise_rewards": False}
    agent = agent_config(kind, **sizes, **({"vae_width": WIDTH} if kind == "bcq" else {}))
    config = OfflineConfig(
        (f"data:{file}@gym/Pendulum-v1",), agent, seed=seed, steps=steps, eval_every=0, log_every=steps,
        checkpoint_every=steps, tensorboard=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config, run)
        policy = polytask.load(run)
        return scored(lambda observation: policy.act(observation, "gym/Pendulum-v1"))


def peer(file: Path, kind: str, seed: int, steps: int) -> float:
    """Trains and scores d3rlpy's."""
    import d3rlpy

    d3rlpy.seed(seed)
    arrays = np.load(file)
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    data = d3rlpy.dataset.MDPDataset(*(np.float32(arrays[name]) for name in names))
    encoder = d3rlpy.models.VectorEncoderFactory([WIDTH, WIDTH])
    shared = {
        **{f"{part}_learning_rate": RATE for part in ("actor", "critic")},
        **{f"{part}_encoder_factory": encoder for part in ("actor", "critic")},
        "batch_size": BATCH,
        "observation_scaler": d3rlpy.preprocessing.StandardObservationScaler(),
        "action_scaler": d3rlpy.preprocessing.MinMaxActionScaler(minimum=np.float32([-2]), maximum=np.float32([2])),
    }
    if kind == "td3-bc":
        made = d3rlpy.algos.TD3PlusBCConfig(**shared, alpha=2.5)
    elif kind == "iql":
        made = d3rlpy.algos.IQLConfig(**shared, value_encoder_factory=encoder, expectile=0.7, weight_temp=3.0)
    else:
        made = d3rlpy.algos.BCQConfig(
            **shared, imitator_learning_rate=RATE, imitator_encoder_factory=encoder, n_action_samples=10,
            action_flexibility=0.05, lam=0.75,
        )  # fmt: skip
    algorithm = made.create()
    none = d3rlpy.logging.NoopAdapterFactory()
    algorithm.fit(data, n_steps=steps, n_steps_per_epoch=steps, logger_adapter=none, show_progress=False)
    return scored(lambda observation: algorithm.predict(np.float32(observation)[None])[0])


def main() -> None:
    """Parses and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("make", "ours", "peer"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    given = parser.parse_args()
    if given.mode == "make":
        make(given.file)
        return
    train = ours if given.mode == "ours" else peer
    for kind in given.kinds:
        for seed in range(given.seeds):
            begin = time.process_time()
            score = train(given.file, kind, seed, given.steps)
            found = {"who": given.mode, "kind": kind, "seed": seed, "return": score}
            print(json.dumps({**found, "cpu_seconds": time.process_time() - begin}), flush=True)


if __name__ == "__main__":
    main()
