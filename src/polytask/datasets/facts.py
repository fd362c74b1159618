"""What a set of logged transitions holds: how many, how good, how wide."""

from typing import Any, NamedTuple

import numpy as np

from polytask.datasets.logged import LoggedTask, unit_actions

BINS = 20  # between the bounds of each action dimension


class Facts(NamedTuple):
    """Of the episodes of a log; returns in raw reward units, undiscounted.

    - `successes`: the share of episodes with a success, None where it is not known.
    - `action_coverage`: the share of 20 equal intervals between the bounds in which actions lie, mean over dimensions.
    - `observation_directions`: into how many directions the observations spread, (sum l)^2 / sum l^2 of the
      eigenvalues l of their correlation (the participation ratio); dimensions that never change do not count.
    """

    episodes: int
    transitions: int
    terminated: int
    mean_return: float
    low_return: float
    high_return: float
    mean_length: float
    successes: float | None
    action_coverage: float
    observation_directions: float


def facts_of(task: LoggedTask) -> Facts:
    """The facts of a log."""
    episodes = task.episodes
    returns = np.array([task.rewards[episode].sum(dtype=np.float64) for episode in episodes])
    won = None if task.success is None else float(np.mean([task.success[episode].any() for episode in episodes]))
    return Facts(
        episodes=len(episodes),
        transitions=len(task.rewards),
        terminated=int(task.terminated.sum()),
        mean_return=float(returns.mean()),
        low_return=float(returns.min()),
        high_return=float(returns.max()),
        mean_length=len(task.rewards) / len(episodes),
        successes=won,
        action_coverage=_covered(unit_actions(task)),
        observation_directions=_directions(task.observations),
    )


def _covered(actions: np.ndarray) -> float:
    bins = np.minimum(((actions + 1) / 2 * BINS).astype(int), BINS - 1)
    return float(np.mean([len(np.unique(column)) / BINS for column in bins.T])) if bins.size else 0.0


def _directions(observations: np.ndarray) -> float:
    rows = observations.astype(np.float64)
    spread = rows.std(axis=0)
    moving = spread > 1e-9 * np.maximum(np.abs(rows).max(axis=0), 1e-300)
    if not moving.any():
        return 0.0
    rows = (rows[:, moving] - rows[:, moving].mean(axis=0)) / spread[moving]
    eigenvalues = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    return float(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum())


LEGEND = (
    "won: episodes with a success; cov: of the range of actions; dirs: directions in which observations spread\n"
    "(docs/offline.md)"
)


def table(logged: list[LoggedTask]) -> Any:
    """A line for each logged task; `LEGEND` says what stands in its last columns."""
    from rich.table import Table
    from rich.text import Text

    from polytask.evaluation.text import MISSING, number
    from polytask.tasks.spaces import size_of

    shown = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("task", overflow="fold", min_width=16)
    for heading in ("obs", "act", "episodes", "steps", "return", "lowest", "highest", "won", "cov", "dirs"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for task in logged:
        facts = facts_of(task)
        cells = (
            size_of(task.spec.observation),
            size_of(task.spec.action),
            f"{facts.episodes:,}",
            f"{facts.transitions:,}",
            number(facts.mean_return),
            number(facts.low_return),
            number(facts.high_return),
            MISSING if facts.successes is None else f"{facts.successes:.2f}",
            f"{facts.action_coverage:.0%}",
            f"{facts.observation_directions:.1f}",
        )
        shown.add_row(*map(Text, (task.spec.name, *cells)))
    return shown
