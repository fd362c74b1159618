"""MBML on a U-shaped maze: does relabelling with a triplet make the task be told by its rewards, and does it pay?"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polytask.claims.base import Claim, Finding, Log, Row, Verdict
from polytask.claims.intervals import over_seeds
from polytask.claims.parts import Parts

if TYPE_CHECKING:
    from polytask.transfer.mbml import Logs, MBMLConfig, Student

ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "no-triplet": {"triplet": False},
    "no-relabelling": {"relabel": False},
    "neither": {"relabel": False, "triplet": False},
}
EPISODES, COUNTED = 5, 3  # in an unseen task, and how many of the last count
Scale = dict[str, Any]
FAST_ABLATIONS = ("full", "neither")
FULL: Scale = {"tasks": 10, "episodes": 100, "horizon": 300, "seeds": 5}
FAST: Scale = {"tasks": 3, "episodes": 4, "horizon": 40, "seeds": 1}
SMALL: Mapping[str, Any] = {
    "teacher_width": 16,
    "teacher_steps": 50,
    "ensemble": 3,
    "ensemble_width": 16,
    "ensemble_steps": 100,
    "encoder_width": 16,
    "encoder_depth": 1,
    "width": 16,
    "depth": 1,
    "steps": 50,
    "batch": 16,
}


def configuration(full: bool) -> "MBMLConfig":
    """That of all ablations; the full mode cuts the paper's networks to 3 x 256 and its 100,000 steps to 20,000."""
    from polytask.transfer.mbml import MBMLConfig

    return MBMLConfig(steps=20_000) if full else MBMLConfig(**SMALL)


def run(full: bool, output: Path, log: Log) -> Finding:
    """Data, teachers and ensembles of each seed, then a student of each ablation; every part is kept until all are."""
    scale, config = FULL if full else FAST, configuration(full)
    parts = Parts(output, f"{CLAIM.name}-{'full' if full else 'fast'}")
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in (ABLATIONS if full else FAST_ABLATIONS)}
    for seed in range(scale["seeds"]):
        for name in found:
            own = dataclasses.replace(config, **ABLATIONS[name])
            settings = {**scale, **dataclasses.asdict(own), "seed": seed}
            make = _maker(own, config, scale, seed, parts, log)
            found[name].append(parts.get(f"{name}-seed{seed}", settings, make))
            swap, returned = (float(found[name][-1][part].mean()) for part in ("swap", "unseen"))
            log(f"seed {seed}, {name}: swap {swap:.2f}, return in unseen tasks {returned:.1f}")
    parts.clear()
    return finding(found, scale)


def finding(found: Mapping[str, list[dict[str, np.ndarray]]], scale: Scale) -> Finding:
    """The probe and the unseen return of each ablation, and how full differs from neither, seeds paired."""
    seeds = scale["seeds"]
    swaps = {name: np.array([float(one["swap"].mean()) for one in own]) for name, own in found.items()}
    returns = {name: np.array([float(one["unseen"].mean()) for one in own]) for name, own in found.items()}
    rows = [Row(f"swap probe, {name}", *over_seeds(values), seeds=seeds) for name, values in swaps.items()]
    rows += [Row(f"unseen return, {name}", *over_seeds(values), seeds=seeds) for name, values in returns.items()]
    gain = over_seeds(returns["full"] - returns["neither"])
    rows.append(Row("unseen return, full - neither, paired", *gain, seeds=seeds))
    logged = float(np.mean([one["logged"].mean() for one in found["full"]]))
    told = swaps["full"].mean() >= 0.6 and swaps["neither"].mean() <= 0.2
    verdict: Verdict = "mixed" if told else "no difference seen"
    if told and gain.sign:
        verdict = "holds" if gain.sign > 0 else "mixed"
    remarks = (
        "Swap probe: the share of pairs whose transitions, under the other task's rewards, are told as that task's.",
        f"Unseen return: the last {COUNTED} of {EPISODES} episodes; the logged episodes of the training tasks gave "
        f"{logged:.1f} in the mean.",
        "The paper's data are SAC's replays; these are of scripted controllers from skilled to random.",
    )
    return Finding(tuple(rows), verdict, remarks, tables={"swap probe by seed": swaps, "unseen return": returns})


def _maker(own: "MBMLConfig", config: "MBMLConfig", scale: Scale, seed: int, parts: Parts, log: Log) -> Any:
    def make() -> dict[str, np.ndarray]:
        import jax.numpy as jnp

        from polytask import random
        from polytask.claims import point_maze
        from polytask.transfer import mbml

        count, horizon = scale["tasks"], scale["horizon"]
        goal = point_maze.goals(count, unseen=False)
        data = parts.get(f"data-seed{seed}", scale, lambda: point_maze.logged(goal, scale["episodes"], horizon, seed))
        logs = _logs(data)
        shared = {**scale, **dataclasses.asdict(config), "seed": seed}
        key = random.key(seed, "mbml")
        teachers = _kept(
            parts,
            f"teachers-seed{seed}",
            shared,
            lambda: mbml.fresh_teachers(config, logs, key),
            lambda: mbml.train_teachers(config, logs, key),
        )
        kept = parts.get(
            f"relabelled-seed{seed}",
            shared,
            lambda: mbml.relabel(config, logs, mbml.train_ensembles(config, logs, key))._asdict(),
        )
        relabelled = mbml.Relabelled(**{name: jnp.asarray(array) for name, array in kept.items()})
        log(f"seed {seed}: data, teachers and ensembles are there; a student of {own.steps:,} steps")
        student, _ = mbml.train_student(own, teachers, logs, relabelled, random.key(seed, "student"))
        return {
            "swap": swapped(own, student, logs, goal, seed),
            "unseen": unseen(own, student, point_maze.goals(count, unseen=True), horizon, seed),
            "logged": data["rewards"].reshape(count, -1, horizon).sum(axis=-1),
        }

    return make


def _logs(data: Mapping[str, np.ndarray]) -> "Logs":
    import jax.numpy as jnp

    from polytask.transfer.mbml import Logs

    names = ("observations", "actions", "rewards", "next_observations")
    seen, acted, rewards, after = (jnp.asarray(data[name], jnp.float32) for name in names)
    return Logs(seen, acted, rewards, jnp.ones_like(rewards), after)


def _kept(parts: Parts, name: str, settings: Mapping[str, Any], fresh: Any, make: Any) -> Any:
    """A pytree of arrays as a part: `fresh` gives its structure."""
    import jax
    import jax.numpy as jnp

    like = fresh()
    kept = parts.get(name, settings, lambda: {f"leaf{i}": leaf for i, leaf in enumerate(jax.tree.leaves(make()))})
    leaves = [jnp.asarray(kept[f"leaf{i}"]) for i in range(len(kept))]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def swapped(config: "MBMLConfig", student: "Student", logs: "Logs", goal: np.ndarray, seed: int) -> np.ndarray:
    """For each pair (i, j): whether j's transitions with the true rewards of i are nearer to i's than to j's."""
    import jax
    import jax.numpy as jnp

    from polytask import random
    from polytask.claims import point_maze
    from polytask.transfer.mbml import nearer
    from polytask.transfer.mbml.data import rows

    tasks, n = logs.rewards.shape
    at = jnp.asarray(random.generator(seed, "probe").integers(n, size=(2, config.context)))
    real = jnp.ones(config.context, bool)
    true = np.stack([point_maze.reward(np.asarray(logs.next_observations), g) for g in goal[:, None, None]])
    encode = jax.jit(lambda student, task, at, rewards: student.encoder(rows(logs, task, at, rewards), real))
    own = [encode(student, jnp.int32(i), at[0], logs.rewards[i, at[0]]) for i in range(tasks)]
    pairs = [(i, j) for i in range(tasks) for j in range(tasks) if i != j]
    found = [
        nearer(encode(student, jnp.int32(j), at[1], jnp.asarray(true[i, j, at[1]], jnp.float32)), own[i], own[j])
        for i, j in pairs
    ]
    return np.array(found, float)


def unseen(config: "MBMLConfig", student: "Student", goal: np.ndarray, horizon: int, seed: int) -> np.ndarray:
    """The returns of the last episodes in tasks that were never seen, z inferred anew after each episode."""
    import jax
    import jax.numpy as jnp

    from polytask import random
    from polytask.claims import point_maze
    from polytask.transfer.mbml import act, infer

    count, names = len(goal), ("observations", "actions", "next_observations")
    inferred = jax.jit(jax.vmap(infer, (None, 0, 0, 0)))
    acted = jax.jit(lambda student, seen, z, key: act(config, student, seen, z, key))
    context = np.zeros((count, EPISODES * horizon, 11), np.float32)
    returns = []
    for episode in range(EPISODES):
        real = np.broadcast_to(np.arange(EPISODES * horizon) < episode * horizon, context.shape[:2])
        z = inferred(student, context, real, jax.random.split(random.key(seed, "latent", episode), count))

        def policy(seen: np.ndarray, step: int, z: Any = z, episode: int = episode) -> np.ndarray:
            return np.asarray(acted(student, jnp.asarray(seen), z, random.key(seed, f"unseen {episode}", step)))

        steps = point_maze.episodes(policy, goal, horizon, random.integer(seed, "unseen maze", episode))
        met = np.concatenate([*(steps[name] for name in names), steps["rewards"][..., None]], axis=-1)
        context[:, episode * horizon : (episode + 1) * horizon] = met
        returns.append(steps["rewards"].sum(axis=1))
    return np.stack(returns[-COUNTED:])


CLAIM = Claim(
    name="mbml",
    paper="MBML, arXiv 1909.11373",
    statement="Relabelled rewards with a triplet loss make a task be told by its rewards, which pays in unseen tasks.",
    run=run,
    fast="two ablations, three goals, one seed, 50 steps a stage; shows that it runs, 1 CPU minute",
    full="ten goals and ten unseen ones, five seeds, four ablations, hours; goes on where it was interrupted",
)
