"""The configuration of online training: one frozen dataclass, and its presets."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

from polytask.agents.config import AgentConfig, BRCConfig
from polytask.agents.registry import agent_config, config_class
from polytask.config.fields import field
from polytask.tasks.options import TaskOptions
from polytask.tasks.spec import TaskSet
from polytask.training.config import RunConfig

Preset = Literal["cpu", "paper", "quick"]
# Three of MT10 that are learned within minutes.
FIRST_LOOK = ("metaworld/reach-v3", "metaworld/drawer-close-v3", "metaworld/window-close-v3")

AgentT = TypeVar("AgentT", bound=AgentConfig)


@dataclasses.dataclass(frozen=True)
class TrainConfig(RunConfig, Generic[AgentT]):
    """A training run of agents. All step counts are environment steps per task."""

    tasks: tuple[str, ...]
    """Names, as `polytask tasks` lists them."""
    agent: AgentT = field(choose=config_class)
    _: dataclasses.KW_ONLY
    task: TaskOptions = field(default_factory=TaskOptions)
    seed: int = field(0, range="[0, 4294967295]", compared=False)
    steps: int = field(100_000, range="[1, inf)", resumable=True)
    """Environment steps per task."""
    warmup_steps: int = field(5_000, range="[0, inf)")
    """Steps with uniformly random actions, before the first update."""
    replay_capacity: int = field(1_000_000, range="[1, inf)")
    """Slots of the replay per task."""
    replay_storage: Literal["memory", "disk"] = field("memory", resumable=True)
    """Where the replay is held while training; disk takes a file in the run folder."""
    exploration: Literal["independent", "held"] = "independent"
    """Whether action noise is drawn anew at every step, or held for spans of 1 to 16 steps."""
    task_sampling: Literal["uniform", "unsolved"] = "uniform"
    """Which tasks a batch is drawn from: each alike, or more from those that the agent solves less often."""
    engine: Literal["auto", "envpool", "process", "serial", "ray"] = "auto"
    """What steps the tasks; auto takes for each what `polytask tasks` names."""
    mesh: str = field("", resumable=True)
    """Devices to train on: data=4,model=2 splits batches in 4 and the critics' width in 2. Else one device."""
    eval_every: int = field(10_000, range="[0, inf)", resumable=True)
    """Steps between evaluations; 0 evaluates never."""
    eval_episodes: int = field(10, range="[1, inf)", resumable=True)
    """Episodes of each task in an evaluation."""
    policy_average: int = field(1_000, range="[0, inf)", resumable=True)
    """Steps over which the weights of the policy that is evaluated and used are averaged; 0 takes the last weights."""
    checkpoint_every: int = field(10_000, range="[1, inf)", compared=False)
    """Steps between checkpoints. Every running episode ends there, resumed or not, so that a resumed run is exact."""
    log_every: int = field(1_000, range="[1, inf)", resumable=True, compared=False)  # pyright: ignore
    """Steps between two lines of metrics."""
    transfer: Literal["fit", "full", "frozen", "adapters", "similar"] = "fit"
    """How new tasks begin from the run that --from names (docs/transfer.md); without it full, where all tasks are new.
    full copies actor and critics, frozen then moves embeddings alone, adapters changes of low rank; similar is full
    with the embedding of the most similar task; fit takes what fits by name and shape."""
    keep: bool = False
    """Train the tasks of the run that --from names as well, with its replay, so that they are not forgotten."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.start_from and (self.keep or self.transfer != "fit"):
            flag = "--keep" if self.keep else f"--transfer {self.transfer}"
            raise ValueError(f"{flag} begins from a trained run: name it, --from RUN")

    @property
    def transfers(self) -> bool:
        """Whether the networks are those of another run, made for its tasks."""
        return self.keep or self.transfer != "fit"

    def check_sampling(self) -> None:
        """Raises ValueError if batches should be drawn by two rules."""
        if self.agent.combines and self.task_sampling != "uniform":
            raise ValueError(
                "a combiner takes equally many transitions of each task: leave --task-sampling out, or the combiner"
            )

    def check_horizon(self, tasks: TaskSet) -> None:
        """Raises ValueError if an episode could never end between two checkpoints."""
        if tasks.horizon > self.checkpoint_every:
            raise ValueError(
                f"checkpoint_every={self.checkpoint_every} is shorter than an episode of {tasks.horizon} steps, and "
                f"every checkpoint ends the running episodes; set --checkpoint-every to at least {tasks.horizon}"
            )


SMALL: Mapping[str, Any] = {
    "critic_width": 128,
    "actor_width": 128,
    "ensemble": 1,
    "updates_per_step": 1,
    "learning_rate": 1e-3,
    "tau": 0.02,
    "initial_temperature": 0.01,
    "n_step": 3,
    "temperature": "per-task",
    "target_scale": "tracked",
    "normalise_observations": True,
}
"""What BRC needs to learn in an hour on two cores, found with networks of this size: docs/results.md."""


def preset(name: Preset, kind: str = "brc") -> TrainConfig[Any]:
    """The configuration of a preset, with an agent of `kind`.

    "cpu" is BRC for an hour on two cores, "paper" has the sizes and constants of the official code and evaluates the
    last weights as that does, "quick" is a first look of some minutes at three tasks. Agents other than BRC have one
    size.
    """
    if kind != BRCConfig.kind:
        config = TrainConfig(("metaworld/mt10",), agent_config(kind))
    elif name == "paper":
        return TrainConfig(("metaworld/mt10",), BRCConfig(critic_width=4096, batch_size=1024), policy_average=0)
    else:
        task, agent = TaskOptions(discount="by-horizon"), BRCConfig(**SMALL)
        config = TrainConfig(("metaworld/mt10",), agent, task=task, task_sampling="unsolved")
    if name != "quick":
        return config
    return dataclasses.replace(
        config,
        tasks=FIRST_LOOK,
        steps=15_000,
        warmup_steps=2_000,
        eval_every=2_500,
        checkpoint_every=5_000,
        log_every=500,
    )
