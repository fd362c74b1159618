"""The hyperparameters of agents that learn from logged data: frozen, and light to import."""

import dataclasses
from typing import Literal

from polytask.agents.config import BRCConfig, PlainAgent
from polytask.config.fields import check, field


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromDataConfig(PlainAgent):
    """What the agents from data share. Widths in units, rates per gradient step.

    `trunk` is that of all networks, a name in `polytask.networks.TRUNKS`; tasks are told apart as BRC's are.
    `normalise_observations` takes each task's mean and deviation over the data. With `normalise_rewards` a task's
    rewards are scaled so that the largest discounted return in its data is 100 (ours; the papers have one task).
    """

    trunk: str = "mlp"
    width: int = field(256, range="[1, inf)")
    depth: int = field(2, range="[0, inf)")
    conditioning: Literal["embedding", "one-hot", "multi-head", "one-hot-multi-head", "none"] = "embedding"
    embedding_dim: int = field(32, range="[1, inf)")
    embedding_norm: Literal["l2", "l1"] = "l2"
    normalise_observations: bool = True
    normalise_rewards: bool = True
    batch_size: int = field(256, range="[1, inf)")
    learning_rate: float = field(3e-4, range="(0, 1]")
    tau: float = field(0.005, range="(0, 1]")

    def __post_init__(self) -> None:
        check(self, "agent.")

    @property
    def mask_padded_actions(self) -> bool:
        """Always: data hold no padding."""
        return True

    @property
    def updates_per_step(self) -> int:
        """A step of training from data is one gradient step."""
        return 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TD3BCConfig(FromDataConfig):
    """Hyperparameters of TD3+BC. `alpha` weighs values against imitation; noise is in units of actions in [-1, 1]."""

    kind: Literal["td3-bc"] = "td3-bc"
    alpha: float = field(2.5, range="[0, inf)")
    target_noise: float = field(0.2, range="[0, inf)")
    noise_clip: float = field(0.5, range="[0, inf)")
    actor_every: int = field(2, range="[1, inf)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class IQLConfig(FromDataConfig):
    """Hyperparameters of IQL. `inverse_temperature` is the paper's beta, per unit of scaled return."""

    kind: Literal["iql"] = "iql"
    expectile: float = field(0.7, range="(0, 1)")
    inverse_temperature: float = field(3.0, range="[0, inf)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BCQConfig(FromDataConfig):
    """Hyperparameters of BCQ. `perturbation` is the paper's Phi, in units of actions in [-1, 1].

    `candidates` are proposed for each target, `acting_candidates` where it acts.
    """

    kind: Literal["bcq"] = "bcq"
    vae_width: int = field(750, range="[1, inf)")
    perturbation: float = field(0.05, range="[0, 2]")
    minimum_weight: float = field(0.75, range="[0, 1]")
    candidates: int = field(10, range="[1, inf)")
    acting_candidates: int = field(100, range="[1, inf)")


@dataclasses.dataclass(frozen=True)
class BRCBCConfig(BRCConfig):
    """Hyperparameters of BRC from data: BRC's, and `alpha` that weighs values against imitation, as in TD3+BC."""

    kind: Literal["brc-bc"] = "brc-bc"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha: float = field(2.5, range="[0, inf)")
    normalise_observations: bool = True
    initial_temperature: float = field(0.01, range="(0, inf)")
