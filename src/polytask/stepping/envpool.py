"""EnvPool as an engine: one pool of one environment per task, all of them stepping at the same time."""

from collections.abc import Mapping, Sequence
from typing import Any

from polytask.stepping.base import Faults, Transition
from polytask.tasks.pool import Pool, asked_for
from polytask.tasks.spec import TaskSpec


class EnvPoolEngine:
    """Steps tasks in EnvPool.

    It reports no faults: EnvPool's environments are C++ inside this process, so that one that dies takes it along.
    Raises ValueError for a task that EnvPool has not.
    """

    def __init__(self, tasks: Mapping[int, TaskSpec]) -> None:
        self.rows: Sequence[int] = tuple(tasks)
        self._specs = dict(tasks)
        for spec in tasks.values():
            asked_for(spec)
        self._pools: dict[int, Pool] = {}

    def start(self, seeds: Mapping[int, int]) -> tuple[Mapping[int, Any], Faults]:
        for row, seed in seeds.items():
            if row in self._pools:
                self._pools.pop(row).close()
            self._pools[row] = Pool(self._specs[row], seed)
        return {row: self._pools[row].first() for row in seeds}, {}

    def send(self, actions: Sequence[Any]) -> None:
        for row, pool in self._pools.items():
            pool.send(actions[row])

    def recv(self) -> tuple[Mapping[int, Transition], Faults]:
        found, ended = {}, []
        for row, pool in self._pools.items():
            following, reward, terminated, truncated, success = pool.recv()
            found[row] = Transition(following, following, reward, terminated, truncated, success)
            if terminated or truncated:
                pool.next_episode()
                ended.append(row)
        for row in ended:
            found[row] = found[row]._replace(observation=self._pools[row].first())
        return found, {}

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
