"""How a population evolves: locks, parents, scores and selection, as µ2Net has them."""

import dataclasses
import json

import numpy as np
import pytest

from polytask import random
from polytask.evolution import population as p
from polytask.evolution.config import EvolutionConfig
from polytask.evolution.population import BLOCKS, HYPERPARAMETERS, SLOTS, Population

SIZES = {slot: 10 * (1 + i) for i, slot in enumerate(SLOTS)}


def draw(counter=0):
    return random.generator(0, "population", counter)


def learned(population, task, quality=0.5, counter=0, base=1.0):
    """A population after one child for a task."""
    population = p.begin(population, task)
    parent = p.choose_parent(population, task, draw(counter))
    mutation = p.mutate(population, parent, task, {"noise": 0}, draw(counter))
    return p.end(p.add(population, mutation, SIZES, quality, base)[0], task)


@pytest.fixture
def two():
    return learned(learned(Population(), "a"), "b", counter=1)


def test_the_first_path_is_fresh_and_locked_at_the_end():
    population = learned(Population(), "a")
    (path,) = population.paths.values()
    assert list(path.components) == ["stem", *BLOCKS[:2], "norm", "head"]
    assert all(c.locks == {"a"} for c in population.components.values())
    assert population.reference == sum(SIZES[slot] for slot in path.components)


def test_a_child_of_another_task_has_a_head_and_a_norm_of_its_own(two):
    a, b = (two.paths[two.best(task)] for task in "ab")
    assert a.components["head"] != b.components["head"]
    assert a.components["norm"] != b.components["norm"]
    shared = set(a.components.values()) & set(b.components.values())
    assert all(two.components[n].locks == {"a", "b"} for n in shared)
    assert shared


@pytest.mark.parametrize("counter", range(20))
def test_what_is_trained_is_new_and_hyperparameters_move_by_one(two, counter):
    parent = p.choose_parent(two, "b", draw(counter))
    mutation = p.mutate(two, parent, "b", {"noise": 1}, draw(counter))
    path = two.paths[parent]
    for name, index in mutation.hyperparameters.items():
        assert 0 <= index < len(HYPERPARAMETERS[name])
        assert name == "noise" or abs(index - path.hyperparameters[name]) <= 1
    assert {"norm", "head"} <= mutation.trained
    grown, new = p.add(two, mutation, SIZES, 1.0, 1.0)
    assert set(new) == mutation.trained
    assert not set(new.values()) & set(two.components)
    assert {n: grown.components[n] for n in two.components} == dict(two.components)
    kept = p.end(grown, "b")
    assert kept.paths[kept.best("a")].components == two.paths[two.best("a")].components


def test_mutation_at_rates_0_and_1(two, monkeypatch):
    parent = two.best("a")
    for rate, trained in ((0.0, {"norm", "head"}), (1.1, {"stem", *BLOCKS[:1], "norm", "head"})):
        monkeypatch.setitem(HYPERPARAMETERS, "mutation", (rate,) * 11)
        found = p.mutate(two, parent, "a", {"noise": 0}, draw()).trained
        assert found == trained if rate == 0 else found >= trained


def test_the_best_of_the_task_is_the_first_parent_and_has_less_chance_with_each_child(two):
    best = two.best("b")
    assert all(p.choose_parent(two, "b", draw(i)) == best for i in range(10))
    busy = dataclasses.replace(two.paths[best], children=1)
    population = dataclasses.replace(two, paths={**two.paths, best: busy})
    share = np.mean([p.choose_parent(population, "b", draw(i)) == best for i in range(1_000)])
    assert share == pytest.approx(0.5 + 0.25 / 2, abs=0.05)  # a, which has a child too, is asked next, then any
    assert p.choose_parent(Population(), "a", draw()) is None


def test_a_shared_component_costs_less(two):
    mutation = p.mutate(two, two.best("a"), "c", {"noise": 0}, draw())
    alone = dataclasses.replace(mutation, trained=frozenset(mutation.sources))
    costs = [p.score(two, m, SIZES, 1.0, 0.9) for m in (mutation, alone)]
    assert costs[0] > costs[1]
    expected = 0.9 ** (sum(SIZES[slot] for slot in alone.sources) / two.reference)
    assert costs[1] == pytest.approx(expected)
    assert p.score(two, mutation, SIZES, 0.7, 1.0) == 0.7


def test_a_worse_child_is_not_kept_but_counted(two):
    population = p.begin(two, "a")
    mutation = p.mutate(population, population.best("a"), "a", {"noise": 0}, draw())
    worse, new = p.add(population, mutation, SIZES, 0.4, 1.0)
    assert new is None
    assert worse.paths[worse.best("a")].children == 1
    assert set(worse.components) == set(population.components)
    equal, new = p.add(population, mutation, SIZES, 0.5, 1.0)
    assert new
    assert equal.best("a") == population.best("a")  # the earliest among equals


def test_learning_a_task_again_removes_its_own_locks_only(two):
    again = p.begin(two, "a")
    assert all("a" not in c.locks for c in again.components.values())
    assert {n for n, c in again.components.items() if c.locks} == {
        n for n, c in two.components.items() if "b" in c.locks
    }
    assert p.end(again, "a").components == two.components


def test_a_task_that_goes_leaves_what_others_use(two):
    left = p.drop(two, "a")
    path = left.paths[left.best("b")]
    assert set(left.components) == set(path.components.values())
    assert all(c.locks == {"b"} for c in left.components.values())
    with pytest.raises(ValueError, match="no task c to drop; there are a, b"):
        p.drop(two, "c")


def test_a_locked_component_is_not_trained(two):
    with pytest.raises(p.ComponentLocked, match=r"locked by a.*clone it"):
        p.check_trainable(two, two.paths[two.best("a")].components["head"])
    p.check_trainable(p.begin(two, "a"), two.paths[two.best("a")].components["head"])


def test_it_is_the_same_after_json(two):
    assert Population.from_json(json.loads(json.dumps(two.to_json()))) == two


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patience": 2}, "--patience is not for evolutions"),
        ({"affinity_every": 2}, "--affinity-every is not for evolutions"),
        ({"start_from": "runs/a"}, "--from is not for evolutions"),
        ({"problems": ("problems/a", "drop:problems/b")}, "b was not learned before"),
        ({"problems": ("problems/a", "drop:problems/a")}, "comes last"),
    ],
)
def test_what_an_evolution_cannot_have_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        EvolutionConfig(**given)


def test_the_order_of_problems_says_what_is_learned_again_and_what_goes():
    config = EvolutionConfig(problems=("problems/a", "b", "drop:problems/a", "problems/b"))
    assert config.names == ("a", "b")
    assert config.entries == (("a", ()), ("b", ()), ("b", ("a",)))
