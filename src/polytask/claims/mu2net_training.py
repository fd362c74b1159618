"""The trainings of the claim `mu2net`: evolutions in memory, and a network for each task at equal trained rows."""

import hashlib

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from polytask import random
from polytask.claims import small_images
from polytask.claims.mu2net import Plan
from polytask.evolution.config import EvolutionConfig
from polytask.evolution.network import Children, Network, fresh, network, train
from polytask.evolution.population import SLOTS, Population, mutate
from polytask.evolution.trainer import EvolutionTrainer, heads, path_network, size
from polytask.supervised.model import evaluate
from polytask.supervised.problem import Problem

RATES = (0.02, 0.05, 0.1, 0.2)


def problems(plan: Plan, seed: int) -> dict[str, Problem]:
    """The tasks by name."""
    sets = {name: small_images.problems(name, seed) for name in dict.fromkeys(t.split("/")[0] for t in plan.tasks)}
    return {task: sets[task.split("/")[0]][task.split("/")[1]] for task in plan.tasks}


def evolved(plan: Plan, base: float, seed: int) -> dict[str, Float[np.ndarray, "..."]]:
    """Test accuracy by task at the end, parameters for each task, and how often the answers of a task changed while
    another was learned."""
    config = EvolutionConfig(
        problems=plan.tasks * plan.rounds,
        generations=plan.generations,
        children=plan.children,
        child_steps=plan.child_steps,
        batch_size=plan.batch,
        width=plan.width,
        size_base=base,
    )
    trainer = EvolutionTrainer(config, problems(plan, seed), (seed,))
    before: dict[str, str] = {}
    changed = 0
    for task, _ in trainer.entries:
        trainer.advance(trainer.step + plan.generations, lambda step: False)
        after = _answers(trainer)
        changed += sum(after[name] != answers for name, answers in before.items() if name != task)
        before = after
    population = trainer.evolved[0].population
    scores = trainer.evaluate()[0]
    assert scores is not None
    return {
        "accuracy": np.array([scores["task"]["score"][task] for task in plan.tasks]),
        "parameters": np.array(sum(c.size for c in population.components.values()) / len(plan.tasks)),
        "changed": np.array(changed),
    }


def _answers(trainer: EvolutionTrainer) -> dict[str, str]:
    """The hash of each learned task's answers to its test rows."""
    evolution, found = trainer.evolved[0], {}
    for name, problem in trainer.problems.items():
        best = evolution.population.best(name)
        if best is not None:
            model = path_network(evolution, best, trainer.sizes, heads(problem))
            found[name] = hashlib.sha256(np.asarray(_outputs(model, problem.test.whole().inputs)).tobytes()).hexdigest()
    return found


_outputs = jax.jit(lambda model, inputs: model(inputs))


def tuned(plan: Plan, seed: int) -> dict[str, Float[np.ndarray, "..."]]:
    """Test accuracy by task, and parameters, of a network of the first path's form for each task, all of it trained.

    Each generation's children are here as many networks, each at a learning rate of its own, that go on from where they
    were best; the best of them by the validation rows is tested.
    """
    given = problems(plan, seed)
    trainer = EvolutionTrainer(EvolutionConfig(problems=plan.tasks, width=plan.width), given, (seed,))
    accuracy, sizes = [], []
    for number, problem in enumerate(trainer.problems.values()):
        first = mutate(Population(), None, problem.name, {"noise": 0}, random.generator(seed, "mu2net"))
        key = random.key(seed, "mu2net", number)
        outputs, rates = heads(problem), [RATES[i % len(RATES)] for i in range(plan.children)]
        fold = jax.random.fold_in
        parts = {slot: fresh(slot, trainer.sizes, outputs, fold(key, SLOTS.index(slot))) for slot in first.sources}
        alone = network(parts, trainer.sizes, outputs)
        networks: Network = jax.tree.map(lambda leaf: np.stack([leaf] * plan.children), alone)
        trained = {slot: np.full(len(rates), slot in first.sources, np.float32) for slot in SLOTS}
        quality = np.zeros(len(rates))
        for turn in range(plan.rounds * plan.generations):
            keys = jax.random.split(fold(key, 100 + turn), len(rates))
            still = np.zeros(len(rates), np.float32)
            children = Children(networks, trained, np.array(rates, np.float32), still)
            parts, quality = train(problem, children, keys, plan.child_steps, plan.batch)
            networks = Network(parts, networks.used)
        lane = int(np.argmax(quality))
        best = jax.tree.map(lambda leaf, lane=lane: leaf[lane], networks)
        accuracy.append(float(_score(problem, best)))
        sizes.append(sum(size(best.parts[slot]) for slot in first.sources))
    return {"accuracy": np.array(accuracy), "parameters": np.array(np.mean(sizes))}


@eqx.filter_jit
def _score(problem: Problem, model: Network) -> jax.Array:
    return evaluate(problem.tasks, model, problem.test).score[0]
