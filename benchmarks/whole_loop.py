"""Training as a whole: `polytask train metaworld/mt10` beside the official agent in the official environments.

    pip install -e '.[official]' flax distrax
    python benchmarks/whole_loop.py --official DIR           # about two minutes; DIR is a checkout of the official code

Both train MT10 at width 256, batch 256 and two updates a step, with episodes of 200 steps, in one process on the same
threads: a block of ours, a block of theirs, the order alternating. While one has its turn the other has nothing under
way, since a block ends when all it set off is computed. Ours is the loop behind `polytask train`, logging
included. Theirs makes the calls of the official train.py in its order (policy, environments, reward normaliser, masks,
replay, resets, batches, normalised rewards, update), without its recorder, which needs wandb; its environments, of a
Meta-World that is no more, are replaced by the vector environment that Meta-World registers with Gymnasium.
Compilation is not counted. Steps are environment steps over all ten tasks.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
from common import facts, official_agent, save

from polytask.agents.config import BRCConfig
from polytask.online.config import TrainConfig
from polytask.online.trainer import OnlineTrainer
from polytask.runs.compilation import keep_compiled
from polytask.runs.loggers import make_loggers
from polytask.speed import TASKS
from polytask.tasks import TaskSet, resolve


class Ours:
    """The loop of `polytask train`."""

    def __init__(self, config: TrainConfig, tasks: TaskSet, folder: Path) -> None:
        self.trainer = OnlineTrainer(config, {config.seed: folder})
        self.trainer.start(None, print)
        self.loggers = make_loggers(folder, {}, False, False)

    def step(self) -> None:
        self.trainer.advance(self.trainer.step + 1, lambda step: False)
        if self.trainer.step % self.trainer.config.log_every == 0:
            self.compile()

    def compile(self) -> None:
        """What the first learning steps and the first log would compile."""
        (record,) = self.trainer.metrics()
        self.loggers.metrics({"step": self.trainer.step, **(record or {})})

    def finish(self) -> Any:
        return jax.block_until_ready(self.trainer.sessions[0].state)


class Environments:
    """What the official train.py asks of its environments, of Meta-World's vector environment of MT10."""

    def __init__(self, tasks: TaskSet) -> None:
        import metaworld  # noqa: F401  registers it

        suite = TASKS.split("/")[1].upper()
        made = gymnasium.make_vec(
            f"Meta-World/{suite}", vector_strategy="sync", seed=0, max_episode_steps=tasks.horizon
        )
        self.vector, self.fresh = made, np.zeros(0)
        self.observation_space, self.action_space = made.observation_space, made.action_space

    def reset(self) -> np.ndarray:
        return self.vector.reset()[0]

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """The true successors; the vector environment has reset what ended, which `reset_where_done` hands on."""
        self.fresh, rewards, terminated, truncated, info = self.vector.step(actions)
        successors = self.fresh
        if "final_obs" in info:
            successors = self.fresh.copy()
            for row in np.flatnonzero(info["_final_obs"]):
                successors[row] = info["final_obs"][row]
        return successors, rewards, terminated, truncated

    def masks(self, terminated: np.ndarray, truncated: np.ndarray) -> np.ndarray:
        return 1 - terminated * (1 - truncated)

    def reset_where_done(self) -> np.ndarray:
        return self.fresh


class Theirs:
    """The official agent, replay and reward normaliser, called as its train.py calls them."""

    def __init__(self, config: TrainConfig, tasks: TaskSet, folder: Path) -> None:
        self.config, self.environments = config, Environments(tasks)
        self.agent = official_agent(folder, config.agent, tasks)
        from jaxrl.normalizer import RewardNormalizer
        from jaxrl.replay_buffer import ParallelReplayBuffer

        space = self.environments.observation_space
        self.replay = ParallelReplayBuffer(space, tasks.action_dim, config.replay_capacity, num_tasks=len(tasks))
        self.normaliser = RewardNormalizer(
            len(tasks), target_entropy=self.agent.target_entropy, discount=self.agent.discount
        )
        self.observations, self.steps = self.environments.reset(), 0

    def step(self) -> None:
        self.steps += 1
        random = self.steps < self.config.warmup_steps
        draw = self.environments.action_space.sample
        actions = draw() if random else self.agent.sample_actions(self.observations, temperature=1.0)
        successors, rewards, terminated, truncated = self.environments.step(actions)
        self.normaliser.update(rewards, terminated, truncated)
        masks = self.environments.masks(terminated, truncated)
        self.replay.insert(self.observations, actions, rewards, masks, successors)
        self.observations = self.environments.reset_where_done()
        if not random:
            self.learn()

    def learn(self) -> None:
        agent = self.config.agent
        batches = self.replay.sample(agent.batch_size, agent.updates_per_step)
        batches = self.normaliser.normalize(batches, self.agent.get_temperature())
        self.agent.update(batches, agent.updates_per_step, self.steps)

    def compile(self) -> None:
        """Nothing beyond the first learning steps."""

    def finish(self) -> Any:
        agent = self.agent
        return jax.block_until_ready((agent.actor.params, agent.critic.params, agent.target_critic.params))


def block(loop: Ours | Theirs, steps: int) -> float:
    """Seconds for some vector steps, all that they set off included."""
    begin = time.perf_counter()
    for _ in range(steps):
        loop.step()
    loop.finish()
    return time.perf_counter() - begin


def take_turns(loops: dict[str, Any], steps: int, more: Callable[[int], bool]) -> dict[str, list[float]]:
    """Seconds of every block of each loop, while `more(pairs so far)`."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    order = list(loops)
    while more(len(times[order[0]])):
        for name in order:
            times[name].append(block(loops[name], steps))
        order.reverse()
    return times


def summary(phase: str, times: dict[str, list[float]], count: int) -> dict[str, Any]:
    """Rates in environment steps per second, of blocks with `count` of them, and their ratios."""
    ours, official = times["ours"], times["official"]
    row: dict[str, Any] = {"phase": phase, "pairs": len(ours), "steps_per_block": count}
    for name, values in times.items():
        row[name] = {
            "median": count / statistics.median(values),
            "max": count / min(values),
            "overall": count * len(values) / sum(values),
        }
    pairs = [theirs / mine for mine, theirs in zip(ours, official, strict=True)]
    row["ratio"] = {
        "median": statistics.median(pairs),
        "of_minima": min(official) / min(ours),
        "overall": sum(official) / sum(ours),
    }
    return row


def line(row: dict[str, Any]) -> str:
    """A phase as a row of the table."""
    rates = " | ".join(f"{row[name]['median']:,.0f} ({row[name]['max']:,.0f})" for name in ("ours", "official"))
    ratio = row["ratio"]
    return (
        f"| {row['phase']} | {rates} | {ratio['median']:.2f} ({ratio['of_minima']:.2f}) | {ratio['overall']:.2f} "
        f"| {row['pairs']} of {row['steps_per_block']:,} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True, help="a checkout of the official code")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=50, help="vector steps in a block; four make an episode")
    parser.add_argument("--warmup", type=int, default=6, help="pairs of blocks with random actions, without updates")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for the phase with updates")
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # gymnasium's checker on Meta-World's spaces
    keep_compiled()
    tasks, known = resolve([TASKS]), facts()
    agent = BRCConfig(critic_width=given.width, batch_size=given.batch)
    # An episode has to end before rewards have a scale.
    warmup = max(given.warmup * given.steps + 10, tasks.horizon + 5)
    config = TrainConfig(tasks.names, agent, steps=10**6, warmup_steps=warmup, eval_every=0, tensorboard=False)
    rows = []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        loops = {"ours": Ours(config, tasks, Path(folder)), "official": Theirs(config, tasks, given.official)}
        for loop in loops.values():
            block(loop, 5)
        times = take_turns(loops, given.steps, lambda pairs: pairs < given.warmup)
        rows.append(summary("warm-up, no updates", times, given.steps * len(tasks)))
        for loop in loops.values():
            block(loop, max(0, warmup - 5 - given.warmup * given.steps) + 5)  # to the first updates, and their programs
            loop.compile()
        end = time.perf_counter() + given.budget
        times = take_turns(loops, given.steps, lambda pairs: pairs < 3 or time.perf_counter() < end)
        rows.append(summary("updates", times, given.steps * len(tasks)))
        loops["ours"].trainer.close()
    print(f"Width {given.width}, batch {given.batch}, {agent.updates_per_step} updates a step; load {known['load']}\n")
    print("| phase | ours, steps/s: median (best) | official | ratio: pairs (best) | all blocks together | pairs |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(line(row))
    save(given.output, {**known, "width": given.width, "batch": given.batch, "loop": rows})


if __name__ == "__main__":
    main()
