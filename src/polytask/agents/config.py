"""The agents' hyperparameters: frozen, and light to import."""

import dataclasses
from typing import Literal, Protocol, runtime_checkable

from polytask.config.fields import check, field


@runtime_checkable
class AgentConfig(Protocol):
    """What training reads of every agent's configuration, whatever else that has."""

    @property
    def kind(self) -> str:
        """The name of the kind of agent."""
        ...

    @property
    def batch_size(self) -> int:
        """Transitions in a gradient step."""
        ...

    @property
    def updates_per_step(self) -> int:
        """Gradient steps for each step of all environments."""
        ...

    @property
    def mask_padded_actions(self) -> bool:
        """Whether action dimensions that a task lacks take no part."""
        ...

    @property
    def critic_width(self) -> int:
        """The width that a mesh's "model" axis splits."""
        ...

    @property
    def relevance(self) -> tuple[str, ...]:
        """NAME=WEIGHT of tasks that do not count 1."""
        ...

    @property
    def combines(self) -> bool:
        """Whether gradients are combined from one per task, which needs batches with equally many of each."""
        ...


@dataclasses.dataclass(frozen=True)
class BRCConfig:
    """Hyperparameters of BRC. Widths in units, rates per gradient step.

    `trunk` is that of actor and critics, a name in `polytask.networks.TRUNKS`, with its options behind it:
    "soft-modules:modules=4" (docs/networks.md). `conditioning="one-hot-multi-head"` has one-hot features and a head for
    each task.
    Ablations: `critic_loss`, `conditioning`, `normalise_rewards`. The task-weighted critic's loss is the cross-entropy
    times its task's `relevance`: NAME=WEIGHT, and 1 for tasks that are not named. With a combiner (a name that
    `polytask.combine` knows, at scale "mean") the critics' or the actor's gradient is combined from one gradient per
    task, and batches hold equally many transitions of each task: batch_size / tasks, rounded up. Where the paper (as
    reported by readers of its appendix) differs from its code, the code is the default and the paper is
    `embedding_norm="l1"`, `truncation_bootstrap="critic"`, `entropy_correction="empirical"`.
    `mask_padded_actions=False` restores the official treatment of padded action dimensions, which counts them in
    log-probability and entropy.

    Of images and choices (docs/brc.md; ours, since the paper's networks for Atari are not known): `encoder` is a name
    in `polytask.networks.ENCODERS`, with `encoder_width` features of each image and its channels times
    `encoder_multiplier`; `film` scales and shifts the features by the task's; images that are learned from are moved by
    up to `image_shift` pixels a side, at random (DrQ, arXiv 2004.13649). A task that chooses has `choice_entropy`
    times the logarithm of its choices as target entropy. `choice_policy="epsilon-greedy"` changes only how training
    acts, with epsilon linear from 1 to 0.05 over `epsilon_updates` gradient steps (Mnih et al. 2015 go to 0.1).

    What is not of BRC, and off by default: `normalise_observations` by each task's running moments (SimbaV2, arXiv
    2502.15280); a `temperature` for each task (multi-task SAC); `target_scale="tracked"`, where the target critic's
    values are read in the units in which they were learned when rewards are scaled anew (MR.Q, arXiv 2501.16142);
    targets over `n_step` steps, the entropy bonus at their end alone; `task_balancing`, where a task counts by its
    temperature (docs/networks.md). `moving` is what of actor and critics moves
    (`polytask.networks.split`), the rest keeps its bits; `adapter_rank` is that of a change beside every dense layer.
    """

    kind: Literal["brc"] = "brc"
    trunk: str = "bronet"
    critic_width: int = field(256, range="[1, inf)")
    critic_depth: int = field(2, range="[0, inf)")
    actor_width: int = field(256, range="[1, inf)")
    actor_depth: int = field(1, range="[0, inf)")
    ensemble: int = field(2, range="[1, inf)")
    bins: int = field(101, range="[2, inf)")
    v_max: float = field(10.0, range="(0, inf)")
    critic_loss: Literal["cross-entropy", "squared-error", "task-weighted"] = "cross-entropy"
    relevance: tuple[str, ...] = ()
    conditioning: Literal["embedding", "one-hot", "multi-head", "one-hot-multi-head", "none"] = "embedding"
    embedding_dim: int = field(32, range="[1, inf)")
    embedding_norm: Literal["l2", "l1"] = "l2"
    normalise_rewards: bool = True
    truncation_bootstrap: Literal["reward-mean", "critic"] = "reward-mean"
    entropy_correction: Literal["target", "empirical"] = "target"
    mask_padded_actions: bool = True
    critic_combiner: str = "none"
    actor_combiner: str = "none"
    batch_size: int = field(256, range="[1, inf)")
    updates_per_step: int = field(2, range="[1, inf)")
    learning_rate: float = field(3e-4, range="(0, 1]")
    weight_decay: float = field(1e-4, range="[0, 1]")
    temperature_learning_rate: float = field(3e-4, range="(0, 1]")
    initial_temperature: float = field(0.1, range="(0, inf)")
    tau: float = field(0.005, range="(0, 1]")
    normalise_observations: bool = False
    temperature: Literal["shared", "per-task"] = "shared"
    target_scale: Literal["current", "tracked"] = "current"
    n_step: int = field(1, range="[1, inf)")
    task_balancing: Literal["none", "temperature", "inverse-temperature"] = "none"
    encoder: str = "nature"
    encoder_width: int = field(256, range="[1, inf)")
    encoder_multiplier: float = field(1.0, range="(0, inf)")
    film: bool = False
    image_shift: int = field(0, range="[0, 32]")
    choice_entropy: float = field(0.2, range="[0, 1)")
    choice_policy: Literal["soft", "epsilon-greedy"] = "soft"
    epsilon_updates: int = field(20_000, range="[1, inf)")
    moving: Literal["all", "embeddings", "heads", "adapters"] = "all"
    adapter_rank: int = field(0, range="[0, inf)")

    def __post_init__(self) -> None:
        check(self, "agent.")
        if self.moving == "adapters" and not self.adapter_rank:
            raise ValueError("--agent.moving adapters trains changes of low rank: give it, --agent.adapter-rank 8")
        own = self.conditioning.endswith("multi-head")
        if self.moving == "embeddings" and not own and self.actor_combiner != "none":
            raise ValueError(
                f"--agent.actor-combiner {self.actor_combiner} combines gradients of what moves in the actor, and with "
                f"--agent.moving embeddings nothing does: leave it out"
            )
        if bool(self.relevance) != (self.critic_loss == "task-weighted"):
            raise ValueError(
                "--agent.critic-loss task-weighted and --agent.relevance NAME=WEIGHT go together: give both, or neither"
            )
        if self.task_balancing != "none" and self.temperature != "per-task":
            raise ValueError(
                "--agent.task-balancing weighs tasks by their temperatures, and they share one: give "
                "--agent.temperature per-task as well"
            )
        if self.task_balancing != "none" and self.combines:
            raise ValueError("--agent.task-balancing and combiners both weigh the tasks: leave one of them out")

    @property
    def combines(self) -> bool:
        """Whether any gradient is combined from one per task."""
        return (self.critic_combiner, self.actor_combiner) != ("none", "none")


class PlainAgent:
    """What the configurations share of agents that have one width, and count every task the same."""

    width: int

    @property
    def critic_width(self) -> int:
        """The networks' width, as BRCConfig names it."""
        return self.width

    @property
    def relevance(self) -> tuple[str, ...]:
        """Never given: every task counts the same."""
        return ()

    @property
    def combines(self) -> bool:
        """Never: the tasks' losses are summed."""
        return False


@dataclasses.dataclass(frozen=True)
class SACConfig(PlainAgent):
    """Hyperparameters of the baseline. Widths in units, rates per gradient step.

    `trunk` is that of actor and critics, a name in `polytask.networks.TRUNKS` with its options behind it. Tasks are
    told apart by heads of their own, by one-hot features, or by both. With `task_balancing` a task counts by its
    temperature (docs/networks.md).
    """

    kind: Literal["sac"] = "sac"
    trunk: str = "mlp"
    conditioning: Literal["multi-head", "one-hot", "one-hot-multi-head"] = "multi-head"
    width: int = field(256, range="[1, inf)")
    depth: int = field(2, range="[0, inf)")
    mask_padded_actions: bool = True
    batch_size: int = field(256, range="[1, inf)")
    updates_per_step: int = field(2, range="[1, inf)")
    learning_rate: float = field(3e-4, range="(0, 1]")
    initial_temperature: float = field(1.0, range="(0, inf)")
    reward_multiplier: float = field(1.0, range="(0, inf)")
    tau: float = field(0.005, range="(0, 1]")
    task_balancing: Literal["none", "temperature", "inverse-temperature"] = "none"

    def __post_init__(self) -> None:
        check(self, "agent.")


@dataclasses.dataclass(frozen=True)
class DQNConfig(PlainAgent):
    """Hyperparameters of the baseline for tasks that choose. Widths in units, rates per gradient step.

    `trunk` and `encoder` are names in `polytask.networks.TRUNKS` and `ENCODERS`. `critic_loss="cross-entropy"` is C51,
    with `bins` values in +-`v_max`. The target follows by `tau`, or is copied every `target_every` steps unless that is
    0. Epsilon goes from 1 to 0.05 over `epsilon_updates` gradient steps.
    """

    kind: Literal["dqn"] = "dqn"
    trunk: str = "mlp"
    width: int = field(256, range="[1, inf)")
    depth: int = field(2, range="[0, inf)")
    encoder: str = "nature"
    encoder_width: int = field(256, range="[1, inf)")
    encoder_multiplier: float = field(1.0, range="(0, inf)")
    critic_loss: Literal["huber", "cross-entropy"] = "huber"
    bins: int = field(51, range="[2, inf)")
    v_max: float = field(10.0, range="(0, inf)")
    batch_size: int = field(256, range="[1, inf)")
    updates_per_step: int = field(2, range="[1, inf)")
    learning_rate: float = field(3e-4, range="(0, 1]")
    reward_multiplier: float = field(1.0, range="(0, inf)")
    tau: float = field(0.005, range="(0, 1]")
    target_every: int = field(0, range="[0, inf)")
    epsilon_updates: int = field(20_000, range="[1, inf)")

    def __post_init__(self) -> None:
        check(self, "agent.")

    @property
    def mask_padded_actions(self) -> bool:
        """Always: nothing acts continuously."""
        return True

    @property
    def film(self) -> bool:
        """Never: tasks are told apart by their heads."""
        return False
