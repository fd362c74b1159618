"""The configuration of training from logged data."""

import dataclasses
from typing import Generic, Literal, TypeVar

from polytask.agents.config import AgentConfig
from polytask.agents.registry import config_class
from polytask.config.fields import field
from polytask.training.config import RunConfig

AgentT = TypeVar("AgentT", bound=AgentConfig)
STRIDE = 20  # gradient steps that are one program


@dataclasses.dataclass(frozen=True)
class OfflineConfig(RunConfig, Generic[AgentT]):
    """A training run of one agent from logged data. All step counts are gradient steps."""

    data: tuple[str, ...]
    """Sets of logged transitions, as `polytask.datasets.names` reads them."""
    agent: AgentT = field(choose=config_class)
    _: dataclasses.KW_ONLY
    steps: int = field(100_000, range="[1, inf)", resumable=True)
    """Gradient steps."""
    eval_every: int = field(10_000, range="[0, inf)", resumable=True)
    """Steps between evaluations in simulators, of the tasks that have one; 0 evaluates never."""
    eval_episodes: int = field(10, range="[1, inf)", resumable=True)
    """Episodes of each task in an evaluation."""
    engine: Literal["auto", "envpool", "process", "serial", "ray"] = "auto"
    """What steps the tasks in evaluations."""
    checkpoint_every: int = field(10_000, range="[1, inf)", compared=False)
    """Steps between checkpoints."""
    log_every: int = field(1_000, range="[1, inf)", resumable=True, compared=False)  # pyright: ignore
    """Steps between two lines of metrics."""

    @property
    def stride(self) -> int:
        """Gradient steps that are one program."""
        return STRIDE
