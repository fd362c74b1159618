"""Hill climbing over whole groupings: where the searches start from, and a last polish for those that cannot finish."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from polytask.affinity.scores import Groups, tidy

_FORBIDDEN = 1e6  # for a score that may not be, in units of the largest affinity: a climb must be able to leave it


@dataclasses.dataclass(frozen=True)
class Climb:
    """Changes one task at a time, the best change first, until none helps; disjoint groups also swap two tasks."""

    affinity: Float[np.ndarray, "tasks tasks"]
    overlap: bool
    alone: float | None
    budget: int | None

    @property
    def scale(self) -> float:
        """The largest affinity, what scores are measured against."""
        return float(np.abs(self.affinity).max()) or 1.0

    def scores(self, members: Bool[np.ndarray, "*batch tasks"]) -> Float[np.ndarray, "*batch tasks"]:
        """Each task's score in each group; for who is not in it a number below all others."""
        share = members.astype(np.float64)
        size = share.sum(axis=-1, keepdims=True)
        alone = -_FORBIDDEN * self.scale if self.alone is None else self.alone
        means = np.where(size == 1, alone, share @ self.affinity / np.maximum(size - 1, 1))
        return np.where(members, means, -2 * _FORBIDDEN * self.scale)

    def random_start(self, rng: np.random.Generator, groups: int) -> Bool[np.ndarray, "groups tasks"]:
        """A partition into groups of nearly equal size, drawn at random."""
        count = len(self.affinity)
        members = np.zeros((groups, count), bool)
        members[np.arange(count) % groups, rng.permutation(count)] = True
        return members

    def run(self, members: Bool[np.ndarray, "groups tasks"]) -> tuple[Bool[np.ndarray, "groups tasks"], float]:
        """A local optimum from here, and its total score over tasks."""
        members = members.copy()
        step = self._flip if self.overlap else self._move
        value = self._value(members)
        while True:
            changed = step(members)
            reached = self._value(changed)
            if reached <= value + 1e-9 * self.scale:
                return members, value
            members, value = changed, reached

    def _value(self, members: np.ndarray) -> float:
        return float(self.scores(members).max(axis=0).sum())

    def _flipped(self, members: np.ndarray) -> Float[np.ndarray, "groups tasks tasks"]:
        """Scores (group, changed task, task) after one task has entered or left one group."""
        return np.stack([self.scores(row[None] ^ np.eye(len(row), dtype=bool)) for row in members])

    def _flip(self, members: np.ndarray) -> np.ndarray:
        now = self.scores(members)
        first = np.sort(now, axis=0)[-2:] if len(now) > 1 else np.concatenate([np.full_like(now, -np.inf), now])
        others = np.where(now == first[1][None], first[0][None], first[1][None])
        values = np.maximum(self._flipped(members), others[:, None]).sum(axis=-1)
        if self.budget is not None and members.sum() >= self.budget:
            values = np.where(members, values, -np.inf)
        group, task = np.unravel_index(int(values.argmax()), values.shape)
        changed = members.copy()
        changed[group, task] ^= True
        return changed

    def _move(self, members: np.ndarray) -> np.ndarray:
        count = members.shape[1]
        own = members.argmax(axis=0)
        totals = np.where(members, self.scores(members), 0.0).sum(axis=1)
        after = members[:, None] ^ np.eye(count, dtype=bool)[None]
        gains = np.where(after, self._flipped(members), 0.0).sum(axis=-1) - totals[:, None]  # (group, task)
        moves = gains[own, np.arange(count)][None] + gains
        moves[own, np.arange(count)] = -np.inf
        group, task = np.unravel_index(int(moves.argmax()), moves.shape)
        changed = members.copy()
        if moves[group, task] > 1e-9 * self.scale:
            changed[own[task], task], changed[group, task] = False, True
            return changed
        return self._swap(members, own)

    def _swap(self, members: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Exchanges the two tasks of different groups that gain the most by it."""
        count = len(own)
        size = members.sum(axis=1)
        both = self.affinity + self.affinity.T
        pull = members.astype(np.float64) @ both  # of each group on each task
        weight = 1 / np.maximum(size - 1, 1)
        stay, go = pull[own, np.arange(count)], pull[own].T  # go[t, u]: the pull on t of u's group
        # t takes u's place: u's group gains the pull on t without u, and t's group likewise.
        enter = weight[own][None] * (go - both - stay[None])
        gain = np.where(own[:, None] == own[None], -np.inf, enter + enter.T)
        gain = np.where((size[own] == 1)[:, None] | (size[own] == 1)[None], -np.inf, gain)
        t, u = np.unravel_index(int(gain.argmax()), gain.shape)
        changed = members.copy()
        if np.isfinite(gain[t, u]):
            changed[own[t], t], changed[own[u], u] = False, False
            changed[own[u], t], changed[own[t], u] = True, True
        return changed


def to_groups(members: Bool[np.ndarray, "groups tasks"]) -> Groups:
    """Rows of booleans as groups; empty ones are left out."""
    return tidy(np.flatnonzero(row) for row in members if row.any())
