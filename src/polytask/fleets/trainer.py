"""Training of fleets as `polytask.training` runs it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from scipy.stats import ttest_rel

from polytask import random
from polytask.fleets.bilevel import BilevelScheduler, Turn
from polytask.fleets.config import FleetConfig
from polytask.fleets.instance import Family, draw
from polytask.fleets.learning import Learned, allocator_step, begin, router_step
from polytask.fleets.model import FleetModel, by_angle, decode
from polytask.fleets.names import size_of
from polytask.runs import checkpoint
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.progress import TaskRow
from polytask.runs.timing import timed
from polytask.training.trainer import Record, Saved, TaskAxes, Tick

SIGNIFICANCE = 0.05  # at which a policy takes its baseline's place
COMPARED = 256  # instances on which it has to


class FleetTrainer:
    """Steps of the allocator and of the router in turn. A `polytask.training.trainer.Trainer`.

    Raises ValueError for a name that is no size of a fleet.
    """

    rate_of = 1
    selects = False
    saves_on: tuple[type[Exception], ...] = ()

    def __init__(self, config: FleetConfig, seeds: Sequence[int]) -> None:
        self.config, self.seeds, self.tasks, self.step = config, tuple(seeds), config.tasks, 0
        self.families = [family_of(config, name) for name in config.tasks]
        specs = [
            {"name": name, "vehicles": one.vehicles, "sites": one.sites}
            for name, one in zip(config.tasks, self.families, strict=True)
        ]
        self.facts: Sequence[Mapping[str, Any]] = [{"specs": specs} for _ in self.seeds]
        self.seconds: Sequence[dict[str, float]] = [{"update": 0.0} for _ in self.seeds]
        self.schedule = schedule_of(config)
        self.learned: list[Learned] = []
        self._logged: list[list[dict[str, Array]]] = [[] for _ in self.seeds]
        self._scores: list[dict[str, float]] = [{} for _ in self.seeds]

    def start(self, found: Sequence[Checkpoint] | None, message: Callable[[str], object]) -> None:
        """As the protocol has it."""
        self.learned = [_begun(self.config, seed) for seed in self.seeds]
        for i, point in enumerate(found or ()):
            saved, counters = checkpoint.restore(point.path, {"learned": self.learned[i]})
            self.learned[i], self.step = saved["learned"], point.step
            self.seconds[i].update(counters["timing"])

    def warm(self, take: Callable[[int, PyTree], PyTree]) -> None:
        """Both policies; of fleets of any size, since neither knows one."""
        for i, learned in enumerate(self.learned):
            model = take(i, {"learned": {"model": learned.model}})["learned"]["model"]
            best = None if learned.best is None else model
            self.learned[i] = learned._replace(model=model, best=best)

    def task_axes(self, specs: Sequence[Mapping[str, Any]]) -> TaskAxes:
        """None: nothing that is learned has a place for each size."""
        return {}

    def advance(self, until: int, tick: Tick) -> None:
        """As the protocol has it."""
        while self.step < until:
            turn, family = self.schedule.turn(self.step), self.families[self.step % len(self.families)]
            for i, seed in enumerate(self.seeds):
                with timed(self.seconds[i], "update"):
                    key = random.key(seed, "fleets.step", self.step)
                    self.learned[i], metrics = one_step(self.config, family, turn, self.learned[i], key)
                    jax.block_until_ready(metrics)
                    self._logged[i].append(metrics)
                    if self.config.baseline == "rollout" and (self.step + 1) % self.config.round == 0:
                        self.learned[i] = self._compared(self.learned[i], family, turn, seed)
            self.step += 1
            if tick(self.step):
                break

    def _compared(self, learned: Learned, family: Family, turn: Turn, seed: int) -> Learned:
        """Lets a policy take its baseline's place where it is better (one-sided paired t-test)."""
        assert learned.best is not None
        name = "allocator" if turn.level == "upper" and learned.model.allocator is not None else "router"
        before = eqx.tree_at(lambda model: getattr(model, name), learned.model, getattr(learned.best, name))
        fleets = draw(family, random.key(seed, "fleets.compare", self.step), COMPARED)
        now, then = (np.asarray(decode(model, fleets, 1, False, None).value) for model in (learned.model, before))
        if now.mean() > then.mean() and ttest_rel(now, then, alternative="greater").pvalue < SIGNIFICANCE:
            best = eqx.tree_at(lambda model: getattr(model, name), learned.best, getattr(learned.model, name))
            return learned._replace(best=best)
        return learned

    def metrics(self) -> list[Record | None]:
        """Means over the steps since the last line; of a policy only where it had a turn."""
        lines: list[Record | None] = []
        for logged in self._logged:
            names = dict.fromkeys(name for one in logged for name in one)
            values = {name: float(np.mean([float(one[name]) for one in logged if name in one])) for name in names}
            lines.append({**values, "task": {}})
            logged.clear()
        return lines

    def evaluate(self) -> list[Record | None]:
        """As the protocol has it: for each instance the share of the value, and the sites that are served."""
        records: list[Record | None] = []
        for i, learned in enumerate(self.learned):
            score, served, routes = {}, {}, {}
            for name, family in zip(self.tasks, self.families, strict=True):
                share, count, first = measured(learned.model, family, self.config.instances)
                score[name], served[name], routes[name] = share.tolist(), count.tolist(), first
            self._scores[i] = {name: float(np.mean(values)) for name, values in score.items()}
            records.append({"task": {"score": score, "served": served}, "routes": routes})
        return records

    def affinity(self) -> list[Mapping[str, Any]]:
        """None is measured."""
        return []

    def faults(self) -> list[str | None]:
        """A policy that is not finite."""
        finite = [
            all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(eqx.filter(one.model, eqx.is_inexact_array)))
            for one in self.learned
        ]
        return [None if good else "the policies are not finite: lower --learning-rate" for good in finite]

    def saved(self) -> list[Saved]:
        """As the protocol has it."""
        return [Saved({"learned": learned}, {}) for learned in self.learned]

    def ended(self) -> bool:
        """Never before the last step."""
        return False

    def conclude(self) -> None:
        """Nothing is left to say."""

    def rows(self) -> list[TaskRow]:
        """The mean share of the first seed."""
        return [TaskRow(name, "score", value) for name, value in self._scores[0].items()]

    def close(self) -> None:
        """Nothing runs beside it."""


def family_of(config: FleetConfig, name: str) -> Family:
    """What instances of a size are drawn from in a training. Raises ValueError for a name that is none."""
    vehicles, sites = size_of(name)
    return Family(vehicles, sites, config.depots, config.values, config.ranges, config.service)


def schedule_of(config: FleetConfig) -> BilevelScheduler:
    """Whose turn it is."""
    times = max(size_of(name)[0] for name in config.tasks)
    return BilevelScheduler(config.pretrain, config.intensive, config.round, times)


def model_of(config: FleetConfig, seed: int) -> FleetModel:
    """The model before training."""
    return FleetModel(config.width, config.depth, config.policy == "single", key=random.key(seed, "fleets.model"))


def measured(
    model: FleetModel, family: Family, instances: int
) -> tuple[Float[np.ndarray, " instances"], Float[np.ndarray, " instances"], dict[str, Any]]:
    """The shares of the value and the sites served on test instances, and the first instance with its routes."""
    fleets = draw(family, random.key(0, "fleets.test"), instances)
    found = decode(model, fleets, 1, False, None)
    stops = np.asarray(found.stops)
    first = {
        "sites": np.asarray(fleets.sites[0], np.float64).round(4).tolist(),
        "depots": np.asarray(fleets.depots[0], np.float64).round(4).tolist(),
        "routes": [[int(site) for site in route if site >= 0] for route in stops[0]],
    }
    share = np.asarray(found.value / jnp.asarray(fleets.values).sum(axis=-1), np.float64)
    return share, (stops >= 0).sum(axis=(1, 2)).astype(np.float64), first


def _begun(config: FleetConfig, seed: int) -> Learned:
    return begin(model_of(config, seed), config.learning_rate, config.baseline)


@eqx.filter_jit
def one_step(
    config: FleetConfig, family: Family, turn: Turn, learned: Learned, key: PRNGKeyArray
) -> tuple[Learned, dict[str, Float[Array, ""]]]:
    """One step of whoever's turn it is, on a batch that is drawn from the family."""
    data, own = jax.random.split(key)
    if turn.level == "upper" and learned.model.allocator is not None:
        fleets = by_angle(draw(family, data, max(1, config.batch_size // 2)))
        return allocator_step(learned, config.learning_rate, fleets, config.samples, own)
    fleets = by_angle(draw(family, data, config.batch_size))
    return router_step(learned, config.learning_rate, fleets, config.samples, turn.given, own)
