"""The agents' hyperparameters: frozen, and light to import."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class BRCConfig:
    """Hyperparameters of BRC. Widths in units, rates per gradient step.

    Ablations: `critic_loss`, `conditioning`, `normalise_rewards`. The task-weighted critic's loss is the cross-entropy
    times its task's `relevance`: NAME=WEIGHT, and 1 for tasks that are not named. With a combiner (a name that
    `polytask.combine` knows, at scale "mean") the critics' or the actor's gradient is combined from one gradient per
    task, and batches hold equally many transitions of each task: batch_size / tasks, rounded up. Where the paper (as
    reported by readers of its appendix) differs from its code, the code is the default and the paper is
    `embedding_norm="l1"`, `truncation_bootstrap="critic"`, `entropy_correction="empirical"`.
    `mask_padded_actions=False` restores the official treatment of padded action dimensions, which counts them in
    log-probability and entropy.
    """

    kind: Literal["brc"] = "brc"
    critic_width: int = 256
    critic_depth: int = 2
    actor_width: int = 256
    actor_depth: int = 1
    ensemble: int = 2
    bins: int = 101
    v_max: float = 10.0
    critic_loss: Literal["cross-entropy", "squared-error", "task-weighted"] = "cross-entropy"
    relevance: tuple[str, ...] = ()
    conditioning: Literal["embedding", "one-hot", "multi-head", "none"] = "embedding"
    embedding_dim: int = 32
    embedding_norm: Literal["l2", "l1"] = "l2"
    normalise_rewards: bool = True
    truncation_bootstrap: Literal["reward-mean", "critic"] = "reward-mean"
    entropy_correction: Literal["target", "empirical"] = "target"
    mask_padded_actions: bool = True
    critic_combiner: str = "none"
    actor_combiner: str = "none"
    batch_size: int = 256
    updates_per_step: int = 2
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    temperature_learning_rate: float = 3e-4
    initial_temperature: float = 0.1
    tau: float = 0.005

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise ValueError(f"a categorical critic needs at least 2 bins, not {self.bins}")
        if bool(self.relevance) != (self.critic_loss == "task-weighted"):
            raise ValueError(
                "--agent.critic-loss task-weighted and --agent.relevance NAME=WEIGHT go together: give both, or neither"
            )

    @property
    def combines(self) -> bool:
        """Whether any gradient is combined from one per task."""
        return (self.critic_combiner, self.actor_combiner) != ("none", "none")


@dataclasses.dataclass(frozen=True)
class SACConfig:
    """Hyperparameters of the baseline. Widths in units, rates per gradient step."""

    kind: Literal["sac"] = "sac"
    width: int = 256
    depth: int = 2
    mask_padded_actions: bool = True
    batch_size: int = 256
    updates_per_step: int = 2
    learning_rate: float = 3e-4
    initial_temperature: float = 1.0
    reward_multiplier: float = 1.0
    tau: float = 0.005

    @property
    def critic_width(self) -> int:
        """The critics' width, as BRCConfig names it."""
        return self.width

    @property
    def relevance(self) -> tuple[str, ...]:
        """Never given: every task counts the same."""
        return ()

    @property
    def combines(self) -> bool:
        """Never: the baseline learns from the sum of the tasks' losses."""
        return False


AgentConfig = BRCConfig | SACConfig
AGENT_CONFIGS = (BRCConfig, SACConfig)
