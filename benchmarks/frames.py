"""Learning from frames: stepping and the replay beside EnvPool alone, the update, and the loop beside SBX's DQN.

    python -m venv rivals-venv                             # for the other, away from polytask's own JAX
    rivals-venv/bin/pip install -e . sbx-rl stable-baselines3
    taskset -c 0 rivals-venv/bin/python benchmarks/frames.py atari/pong        # three minutes on one idle core

Both DQNs learn in one process, a block of one, a block of the other, the order alternating: the Nature network with 512
features, batches of 32, a gradient step at every step of the game, epsilon at its end. Both play in polytask's stepper;
SBX's sees it as a Gymnasium environment and keeps its frames in Stable-Baselines3's replay. Ours is double DQN, which
takes a pass more through the network, and has a layer of 512 units more. Logging is left out of both.

Times are of CPU, of all threads: on one core that has nothing else to do they are the wall's. "of the peak" counts the
networks' own multiplications against the fastest of several float32 matrix products of this very process.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np

from polytask.agents.config import DQNConfig
from polytask.machine import keep_freed_memory
from polytask.online.config import TrainConfig
from polytask.online.trainer import OnlineTrainer
from polytask.replay import Replay
from polytask.speed import frame_multiplications, update_call
from polytask.stepping import make_stepper
from polytask.tasks import TaskSet, TaskSpec, padding, resolve
from polytask.tasks.pool import asked_for, import_envpool

WARMUP, HELD = 100, 2_000
OURS, THEIRS = "the loop, ours", "the loop, SBX's DQN"
AGENT = DQNConfig(width=512, depth=1, encoder_width=512, batch_size=32, updates_per_step=1, epsilon_updates=1)


def spent(function: Callable[[], Any]) -> float:
    """Milliseconds of CPU of a call, what JAX computes included."""
    start = time.process_time()
    jax.block_until_ready(function())
    return 1e3 * (time.process_time() - start)


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """What each takes, in pairs whose order alternates, after a call that is not counted."""
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for _ in range(rounds):
        for name in names:
            times[name].append(spent(calls[name]))
        names.reverse()
    return times


def stepping(spec: TaskSpec, steps: int, rounds: int) -> dict[str, list[float]]:
    """CPU ms of a step: of EnvPool with its own stack of frames, of our stepper, and with the replay; and of a draw."""
    tasks, asked = TaskSet((spec,)), asked_for(spec)
    arguments = {**asked.arguments, "stack_num": 4, "seed": 0, "max_episode_steps": spec.horizon}
    pool = import_envpool().make(asked.id, env_type="gymnasium", num_envs=1, num_threads=1, **arguments)
    pool.reset()
    chosen = np.random.default_rng(0).integers(spec.choices, size=steps)
    stepper, storing = make_stepper(tasks, goal_seed=0), make_stepper(tasks, goal_seed=0)
    stepper.reset(0)
    replay = Replay(1, tasks.observation_dim, tasks.action_width, HELD, images=tasks.placed_images)
    seen = storing.reset(0)

    def store() -> None:
        nonlocal seen
        for action in chosen:
            row = np.array([[action]], np.float32)
            result = storing.step(row)
            ends, valid = (result.terminated, result.truncated), ~result.restarted
            replay.insert(seen, row, result.rewards, *ends, result.next_observations, valid)
            seen = result.observations

    calls = {
        "EnvPool alone": lambda: [pool.step(np.array([action])) for action in chosen] and None,
        "stepper": lambda: [stepper.step(np.array([[action]], np.float32)) for action in chosen] and None,
        "stepper and replay": store,
    }
    try:
        found = in_turn(calls, rounds)
    finally:
        for one in (stepper, storing):
            one.close()
    times = {name: [taken / steps for taken in own] for name, own in found.items()}
    draws = np.random.default_rng(0)
    times["drawing a batch of 32"] = in_turn({"draw": lambda: replay.sample(1, 32, draws) and None}, 9 * rounds)["draw"]
    return times


def ours(spec: TaskSpec, steps: int, stack: contextlib.ExitStack) -> Callable[[], Any]:
    """A call that trains for so many steps, past the warm-up."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    sizes: dict[str, Any] = {"steps": 10**6, "warmup_steps": WARMUP, "replay_capacity": HELD, "policy_average": 0}
    config = TrainConfig((spec.name,), AGENT, checkpoint_every=10**6, tensorboard=False, **sizes)
    trainer = OnlineTrainer(config, {0: folder})
    stack.callback(trainer.close)
    trainer.start(None, lambda text: None)
    trainer.advance(WARMUP, lambda step: False)

    def block() -> Any:
        trainer.advance(trainer.step + steps, lambda step: False)
        return trainer.sessions[0].state

    return block


def theirs(spec: TaskSpec, steps: int, stack: contextlib.ExitStack) -> Callable[[], Any]:
    """As `ours`, of SBX."""
    from sbx import DQN

    tasks = TaskSet((spec,))
    stepper = make_stepper(tasks, goal_seed=0)
    stack.callback(stepper.close)

    class Game(gymnasium.Env):
        """The stepper of one task; it begins the next episode by itself."""

        observation_space = gymnasium.spaces.Box(0, 255, tasks.images[0], np.uint8)
        action_space = gymnasium.spaces.Discrete(spec.choices)

        def __init__(self) -> None:
            self.seen = padding.arrays(stepper.reset(0))[1][0]

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return self.seen, {}

        def step(self, action: Any) -> Any:
            result = stepper.step(np.array([[action]], np.float32))
            self.seen = padding.arrays(result.observations)[1][0]
            following, reward = padding.arrays(result.next_observations)[1][0], float(result.rewards[0])
            return following, reward, bool(result.terminated[0]), bool(result.truncated[0]), {}

    settings: dict[str, Any] = {"learning_rate": AGENT.learning_rate, "batch_size": AGENT.batch_size, "train_freq": 1}
    epsilon = {"exploration_initial_eps": 0.05, "exploration_final_eps": 0.05}
    model = DQN("CnnPolicy", Game(), buffer_size=HELD, learning_starts=WARMUP, seed=0, **settings, **epsilon)
    model.learn(WARMUP + 5, log_interval=10**9)

    def block() -> Any:
        model.learn(steps, log_interval=10**9, reset_num_timesteps=False)
        return model.policy.qf_state.params

    return block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="atari/pong")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=30, help="steps of a block of the loop; ten times as many of stepping"
    )
    given = parser.parse_args()
    keep_freed_memory()
    tasks = resolve([given.task])
    (spec,) = tasks
    print("| what | CPU ms, median | least |\n|---|---|---|")
    a = jax.numpy.ones((1024, 1024))
    multiply = jax.jit(lambda a: a @ a)
    update = in_turn({"peak": lambda: multiply(a), "update": update_call(AGENT, tasks)}, 4 * given.rounds)
    peak, best = 2e-6 * 1024**3 / min(update["peak"]), min(update["update"])
    share = frame_multiplications(AGENT, tasks) / best * 1e3 / peak
    show({f"a gradient step, {share:.0%} of a peak of {peak:.0f} GFLOP/s": update["update"]})
    show(stepping(spec, 10 * given.steps, given.rounds))
    with contextlib.ExitStack() as stack:
        calls = {OURS: ours(spec, given.steps, stack), THEIRS: theirs(spec, given.steps, stack)}
        loop = in_turn(calls, given.rounds)
    show({name: [taken / given.steps for taken in times] for name, times in loop.items()})
    pairs = [other / own for own, other in zip(*loop.values(), strict=True)]
    least = min(loop[THEIRS]) / min(loop[OURS])
    print(f"\nThe loop is faster by {statistics.median(pairs):.2f}, median of {len(pairs)} pairs; minima {least:.2f}.")


def show(rows: dict[str, list[float]]) -> None:
    """Rows of the table."""
    for name, times in rows.items():
        print(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f} |", flush=True)


if __name__ == "__main__":
    main()
