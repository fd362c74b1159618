"""How fast this machine trains: what `polytask bench` measures, each figure with the machine's own peak beside it."""

import contextlib
import dataclasses
import io
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polytask import random
from polytask.agents.config import AgentConfig, BRCConfig, DQNConfig
from polytask.agents.factory import make_agent
from polytask.online.config import TrainConfig
from polytask.online.trainer import OnlineTrainer
from polytask.replay.batch import Batch
from polytask.replay.buffer import slot_bytes
from polytask.runs.loggers import make_loggers
from polytask.stepping import make_stepper
from polytask.tasks.registry import resolve
from polytask.tasks.spaces import Observations, size_of
from polytask.tasks.spec import TaskSet

TASKS = "metaworld/mt10"
FRAMES = "atari/pong"
LOOP_STEPS = 20  # of all tasks, in a block of the training loop

# Runs in a process of its own, to the first gradient step; prints the clock and the CPU at the end of every stage.
_TO_FIRST_UPDATE = """
import json, os, sys, time
stages = {}
def mark(name):
    stages.setdefault(name, (time.time(), time.process_time()))
mark("python")
from polytask.cli import main
import polytask.online.trainer
mark("imports")
import jax
from polytask.agents.base import Agent
from polytask.online.session import Session
def marking(kind, method, name):
    call = getattr(kind, method)
    def marked(*arguments, **named):
        result = call(*arguments, **named)
        jax.block_until_ready(result)
        mark(name)
        return result
    setattr(kind, method, marked)
marking(Session, "start_episodes", "simulators")
marking(Session, "begin", "agent")
marking(Session, "receive", "first step")
update = Agent.update
def first_update(*arguments):
    jax.block_until_ready(update(*arguments))
    mark("first update")
    print("\\nSTAGES" + json.dumps(stages), flush=True)
    os._exit(0)
Agent.update = first_update
main(sys.argv[1:])
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """A measured figure: in `unit`, the median and the best of some blocks, and what it stands for in a few words."""

    name: str
    unit: str
    median: float
    best: float
    remark: str = ""


def seconds(function: Callable[[], Any]) -> float:
    """How long a call takes, what JAX computes included."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def matmul_peak() -> float:
    """The best of many float32 products of several sizes, in GFLOP/s."""
    multiply = jax.jit(lambda a, b: a @ b)
    best = 0.0
    for size, repeats in ((512, 40), (1024, 20), (2048, 6)):
        a = jnp.ones((size, size))
        best = max(best, *(2e-9 * size**3 / seconds(lambda a=a: multiply(a, a)) for _ in range(repeats)))
    return best


def multiplications(config: BRCConfig, tasks: TaskSet) -> float:
    """GFLOP of the networks' matrix products in one gradient step of BRC with a task embedding.

    A pass forwards counts 1; a pass backwards 1 for the inputs' gradient and 1 for the kernels'; the first layer's
    inputs have none where nothing before it learns.
    """

    def forward(inputs: int, width: int, depth: int, outputs: int) -> tuple[int, int]:
        first = inputs * width
        return first, first + 2 * depth * width**2 + width * outputs

    seen = tasks.observation_dim + config.embedding_dim
    _, critic = forward(seen + tasks.action_dim, config.critic_width, config.critic_depth, config.bins)
    actor_first, actor = forward(seen, config.actor_width, config.actor_depth, 2 * tasks.action_dim)
    # Target 1, critic 3 (the embedding learns), through the critic 2; actor 1 at the next state, then 3 less one.
    products = config.ensemble * critic * (1 + 3 + 2) + actor * (1 + 3) - actor_first
    return 2e-9 * config.batch_size * products


def frame_multiplications(config: DQNConfig, tasks: TaskSet) -> float:
    """GFLOP of DQN's matrix products in one gradient step, of tasks whose images are all seen by one Nature network."""
    critic = eqx.filter_eval_shape(make_agent(config, tasks).init, random.key(0, "init")).critic
    (encoder,) = critic.encoder.encoders
    sides, convolutions = tasks.images[0][:2], []
    for one in encoder.convolutions:
        sides = tuple((side - one.size) // one.stride + 1 for side in sides)
        convolutions.append(math.prod(sides) * one.dense.kernel.size)
    dense = encoder.dense.kernel.size + sum(leaf.size for leaf in jax.tree.leaves(critic.members) if leaf.ndim == 3)
    # Both networks at the successors 1, the one that learns 3 at the observations; pixels have no gradient.
    return 2e-9 * config.batch_size * (5 * (sum(convolutions) + dense) - convolutions[0])


def blocks(function: Callable[[], Any], budget: float, least: int = 5) -> list[float]:
    """Seconds of each of at least `least` calls, within about `budget` seconds if that suffices."""
    times, end = [], time.perf_counter() + budget
    while len(times) < least or time.perf_counter() < end:
        times.append(seconds(function))
    return times


def random_batches(config: AgentConfig, tasks: TaskSet) -> Batch:
    """What one call of an agent's update takes, of random numbers."""
    draws, shape = np.random.default_rng(0), (config.updates_per_step, config.batch_size)

    def normal(*last: int) -> jax.Array:
        return jnp.asarray(draws.normal(size=(*shape, *last)).astype(np.float32))

    def seen() -> Any:
        images = [draws.integers(256, size=(*shape, *size), dtype=np.uint8) for size in tasks.images]
        vector = normal(tasks.observation_dim)
        return Observations(vector, tuple(map(jnp.asarray, images))) if images else vector

    observations, actions = seen(), jnp.tanh(normal(tasks.action_dim))
    if tasks.choices > 1:
        chosen = draws.integers(min(spec.choices for spec in tasks), size=(*shape, 1))
        actions = jnp.concatenate([actions, jnp.asarray(chosen.astype(np.float32))], axis=-1)
    return Batch(
        observations=observations,
        actions=actions,
        rewards=normal(),
        continues=jnp.ones(shape),
        next_observations=seen(),
        task_ids=jnp.asarray(draws.integers(len(tasks), size=shape).astype(np.int32)),
    )


def update_call(config: AgentConfig, tasks: TaskSet) -> Callable[[], Any]:
    """A call that makes `updates_per_step` gradient steps of a fresh agent, one call after another."""
    agent = make_agent(config, tasks)
    state, key = agent.init(random.key(0, "init")), random.key(0, "update")
    batches, bound = random_batches(config, tasks), np.full(len(tasks), 10, np.float32)

    def call() -> Any:
        nonlocal state
        state, metrics = agent.update(state, batches, bound, key)
        return state, metrics

    return call


def update_time(config: BRCConfig | DQNConfig, tasks: TaskSet, peak: float, budget: float) -> Result:
    """Milliseconds for a gradient step, with the share of the peak that its multiplications reach at best."""
    call = update_call(config, tasks)
    seconds(call)
    times = [1e3 * taken / config.updates_per_step for taken in blocks(call, budget)]
    if isinstance(config, DQNConfig):
        gflop, size = frame_multiplications(config, tasks), f"{size_of(tasks.specs[0].observation)} frames"
    else:
        gflop, size = multiplications(config, tasks), f"width {config.critic_width}"
    share = gflop / (min(times) / 1e3) / peak
    name = f"update, {size}, batch {config.batch_size}"
    return Result(name, "ms", statistics.median(times), min(times), f"at best {share:.0%} of the peak")


def stepping_rate(tasks: TaskSet, budget: float) -> Result:
    """Environment steps per second with random actions, over all tasks."""
    stepper = make_stepper(tasks, goal_seed=0)
    stepper.reset(0)
    draws = np.random.default_rng(0)
    actions = draws.uniform(-1, 1, (50, len(tasks), tasks.action_dim)).astype(np.float32)
    try:
        times = blocks(lambda: [stepper.step(row) for row in actions] and None, budget)[1:]
    finally:
        stepper.close()
    rates = [len(actions) * len(tasks) / taken for taken in times]
    return Result("simulators, random actions", "steps/s", statistics.median(rates), max(rates), "all tasks")


@contextlib.contextmanager
def learning(config: TrainConfig[Any]) -> Iterator[tuple[OnlineTrainer, Callable[[], Any]]]:
    """A training that is past its warm-up, and a call that goes on by LOOP_STEPS, logging included; prints nothing."""
    with contextlib.ExitStack() as stack:
        run = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        trainer = OnlineTrainer(config, {config.seed: run})
        stack.callback(trainer.close)
        trainer.start(None, lambda text: None)
        loggers = stack.enter_context(make_loggers(run, {}, False, False))

        def log() -> None:
            for record in trainer.metrics():
                loggers.metrics({"step": trainer.step, **(record or {})})

        def block() -> Any:
            trainer.advance(trainer.step + LOOP_STEPS, lambda step: False)
            if trainer.step % config.log_every == 0:
                log()
            return trainer.sessions[0].state

        trainer.advance(config.warmup_steps, lambda step: False)
        log()
        yield trainer, block


def loop_config(tasks: TaskSet, agent: BRCConfig) -> TrainConfig[BRCConfig]:
    """A training whose warm-up is as short as it can be: one episode, so that rewards have a scale."""
    return TrainConfig(
        tasks.names, agent, steps=10**6, warmup_steps=tasks.horizon + 50, log_every=100, tensorboard=False
    )


def training_rate(tasks: TaskSet, budget: float) -> Result:
    """Environment steps per second of the whole training loop, after warm-up, logging included."""
    config = loop_config(tasks, BRCConfig())
    with learning(config) as (_, block):
        times = blocks(block, budget)
    rates = [LOOP_STEPS * len(tasks) / taken for taken in times]
    updates = f"{config.agent.updates_per_step} updates a step"
    return Result("training, the whole loop", "steps/s", statistics.median(rates), max(rates), updates)


def start_stages(tasks: str, cache: Path) -> dict[str, tuple[float, float]]:
    """Seconds from the start of `polytask train` to the end of each of its first stages: by the clock, and of CPU.

    The compilation cache is in `cache`, as it would be in the user's folder. Raises RuntimeError, with what the
    command said, if it fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", tasks, "--warmup-steps", "20", "--steps", "100", "--run", f"{folder}/run"]
        begin = time.time()
        done = subprocess.run(
            [sys.executable, "-c", _TO_FIRST_UPDATE, *words],
            env={**environment, "XDG_CACHE_HOME": str(cache)},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"`polytask {' '.join(words)}` did not come to its first update:\n{done.stderr.strip()}")
    stages = json.loads(done.stdout.rpartition("STAGES")[2])
    return {name: (clock - begin, cpu) for name, (clock, cpu) in stages.items()}


def measure(budget: float = 10.0) -> Iterator[Result]:
    """All figures, one after another, each over about `budget` seconds besides what it takes to get ready."""
    tasks = resolve([TASKS])
    peak = matmul_peak()
    yield Result("matrix product, float32", "GFLOP/s", peak, peak, "the yardstick")
    for width in (256, 512):
        yield update_time(BRCConfig(critic_width=width), tasks, peak, budget)
    yield update_time(DQNConfig(batch_size=32), resolve([FRAMES]), peak, budget)
    yield stepping_rate(tasks, budget / 2)
    yield training_rate(tasks, 2 * budget)
    with tempfile.TemporaryDirectory() as cache:
        for remark in ("nothing compiled", "compiled before"):
            clock, _ = start_stages(TASKS, Path(cache))["first update"]
            yield Result("command to first update", "s", clock, clock, remark)
    held = slot_bytes(tasks.observation_dim, tasks.action_dim) * (1 + 1 / tasks.horizon)
    yield Result("replay, million transitions", "MB", held, held, "with ends of episodes")
