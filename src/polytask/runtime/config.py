"""The configuration of a run: one frozen dataclass, its presets, and its form in config.json."""

import dataclasses
from typing import Any, Generic, Literal, TypeVar

from polytask.agents.config import AGENT_CONFIGS, AgentConfig, BRCConfig
from polytask.tasks.options import TaskOptions
from polytask.tasks.spec import TaskSet, TaskSpec

# What may differ when a run is resumed: none of these changes what is learned up to a given step (another mesh sums in
# another order).
MAY_CHANGE = (
    "steps",
    "replay_storage",
    "mesh",
    "eval_every",
    "eval_episodes",
    "policy_average",
    "log_every",
    "affinity_every",
    "tensorboard",
    "wandb",
)

GROUPED = "groups"  # the field by which the configuration of a run that joins those of groups differs

Preset = Literal["cpu", "paper", "quick"]
# Three of MT10 that are learned within minutes.
FIRST_LOOK = ("metaworld/reach-v3", "metaworld/drawer-close-v3", "metaworld/window-close-v3")

AgentT = TypeVar("AgentT", bound=AgentConfig)


@dataclasses.dataclass(frozen=True)
class TrainConfig(Generic[AgentT]):
    """A training run. All step counts are environment steps per task."""

    tasks: tuple[str, ...]
    """Names, as `polytask tasks` lists them."""
    agent: AgentT
    task: TaskOptions = dataclasses.field(default_factory=TaskOptions)
    seed: int = 0
    steps: int = 100_000
    """Environment steps per task."""
    warmup_steps: int = 5_000
    """Steps with uniformly random actions, before the first update."""
    replay_capacity: int = 1_000_000
    """Slots of the replay per task."""
    replay_storage: Literal["memory", "disk"] = "memory"
    """Where the replay is held while training; disk takes a file in the run folder."""
    engine: Literal["auto", "envpool", "process", "serial"] = "auto"
    """What steps the tasks; auto takes for each what `polytask tasks` names."""
    mesh: str = ""
    """Devices to train on: data=4,model=2 splits batches in 4 and the critics' width in 2. Else one device."""
    eval_every: int = 10_000
    """Steps between evaluations; 0 evaluates never."""
    eval_episodes: int = 10
    """Episodes of each task in an evaluation."""
    policy_average: int = 1_000
    """Steps over which the weights of the policy that is evaluated and used are averaged; 0 takes the last weights."""
    checkpoint_every: int = 10_000
    """Steps between checkpoints. Every running episode ends there, resumed or not, so that a resumed run is exact."""
    log_every: int = 1_000
    """Steps between two lines of metrics."""
    affinity_every: int = 0
    """Steps between measurements of what tasks do to each other (`polytask affinity RUN`); 0 measures never."""
    tensorboard: bool = True
    """Log for TensorBoard."""
    wandb: bool = False
    """Log to Weights & Biases."""

    def __post_init__(self) -> None:
        for name in ("steps", "checkpoint_every", "log_every", "eval_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"a seed lies between 0 and 2^32 - 1, but is {self.seed}")
        for name in ("warmup_steps", "eval_every", "policy_average", "affinity_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} cannot be negative, but is {getattr(self, name)}")

    def check_horizon(self, tasks: TaskSet) -> None:
        """Raises ValueError if an episode could never end between two checkpoints."""
        if tasks.horizon > self.checkpoint_every:
            raise ValueError(
                f"checkpoint_every={self.checkpoint_every} is shorter than an episode of {tasks.horizon} steps, and "
                f"every checkpoint ends the running episodes; set --checkpoint-every to at least {tasks.horizon}"
            )


def preset(name: Preset, kind: str = "brc") -> TrainConfig[Any]:
    """The configuration of a preset, with an agent of `kind`.

    "cpu" learns MT10 on two cores in about an hour and is TrainConfig's defaults, "paper" has the sizes of the official
    code and evaluates the last weights as that does, "quick" is a first look of about ten minutes at three of its
    tasks. The SAC baseline has one size.
    """
    sizes: dict[Preset, dict[str, Any]] = {
        "cpu": {},
        "paper": {"critic_width": 4096, "batch_size": 1024},
        "quick": {"critic_width": 128},
    }
    kinds = {config().kind: config for config in AGENT_CONFIGS}
    agent = kinds[kind](**{size: value for size, value in sizes[name].items() if kind == BRCConfig.kind})
    if name == "quick":
        return TrainConfig(
            FIRST_LOOK, agent, steps=15_000, warmup_steps=2_000, eval_every=2_500, checkpoint_every=5_000, log_every=500
        )
    config = TrainConfig(("metaworld/mt10",), agent)
    return dataclasses.replace(config, policy_average=0) if name == "paper" else config


def to_json(config: TrainConfig, tasks: TaskSet) -> dict[str, Any]:
    """What config.json holds: the configuration, and under "specs" the resolved facts of the tasks."""
    return {**dataclasses.asdict(config), "specs": [dataclasses.asdict(spec) for spec in tasks]}


def from_json(content: dict[str, Any]) -> tuple[TrainConfig, TaskSet]:
    """The inverse of `to_json`.

    Raises ValueError naming fields that this version does not know, and for a run that joins those of groups.
    """
    if GROUPED in content:
        raise ValueError(
            "this run joins one agent for each group of tasks: name the folder of one, as RUN/group1; "
            "to go on with all, repeat its command, polytask train ... --groups FILE"
        )
    content = dict(content)
    specs = [_build(TaskSpec, spec) for spec in content.pop("specs")]
    agent = content.pop("agent")
    kinds = {kind().kind: kind for kind in AGENT_CONFIGS}
    if agent["kind"] not in kinds:
        raise ValueError(f"unknown agent kind '{agent['kind']}'; this version knows {', '.join(kinds)}")
    content["task"] = _build(TaskOptions, content["task"])
    content["agent"] = _build(kinds[agent["kind"]], agent)
    return _build(TrainConfig, content), TaskSet(tuple(specs))


def complete(content: dict[str, Any]) -> dict[str, Any]:
    """What `to_json` gave an older version, with the fields of this one. Raises as `from_json`."""
    return to_json(*from_json(content))


def _build(kind: Any, content: dict[str, Any]) -> Any:
    unknown = content.keys() - {field.name for field in dataclasses.fields(kind)}
    if unknown:
        raise ValueError(f"config.json has fields that this version does not know: {', '.join(sorted(unknown))}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})
