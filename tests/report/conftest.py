"""Makes run folders as the trainer writes them, without training."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from polytask.evaluation.scores import score
from polytask.runs.records import EVERY_LINE
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSpec
from polytask.training import kinds

MT10 = [
    "reach-v3",
    "push-v3",
    "pick-place-v3",
    "door-open-v3",
    "drawer-open-v3",
    "drawer-close-v3",
    "button-press-topdown-v3",
    "peg-insert-side-v3",
    "window-open-v3",
    "window-close-v3",
]


def metaworld(names=MT10) -> list[TaskSpec]:
    box = {"action": Box((-1.0,) * 4, (1.0,) * 4)}
    facts = {"success": "any-step", "reward_version": "v2", "goals": "varying", "engine": "envpool"}
    return [TaskSpec(f"metaworld/{n}", "metaworld", Vector(39), horizon=200, **box, **facts) for n in names]


def dmc(names=("dog-walk", "dog-run", "dog-stand", "dog-trot")) -> list[TaskSpec]:
    box = {"action": Box((-1.0,) * 38, (1.0,) * 38)}
    return [TaskSpec(f"dmc/{n}", "dmc", Vector(223), horizon=1000, score_range=(0.0, 1000.0), **box) for n in names]


def gym(names=("Pendulum-v1",)) -> list[TaskSpec]:
    return [TaskSpec(f"gym/{n}", "gym", Vector(3), Box((-2.0,), (2.0,)), horizon=200) for n in names]


def _skill(rng: np.random.Generator, tasks: int, steps: np.ndarray, speed: float) -> np.ndarray:
    """Learning curves (evaluations, tasks) between 0 and 1: easy tasks first, a hopeless one last."""
    half = np.geomspace(8_000, 90_000, tasks) / speed * rng.lognormal(0, 0.15, tasks)
    top = np.where(np.arange(tasks) == tasks - 1, 0.05, 0.97) if tasks > 3 else np.full(tasks, 0.9)
    return top / (1 + (half / np.maximum(steps[:, None], 1)) ** 3)


def _evaluation_lines(rng, specs, steps, skill, episodes, embed) -> list[dict]:
    family = np.array([[sum(map(ord, s.name.split("/")[-1].split("-")[0])) % 97] for s in specs])
    base = np.concatenate([np.random.default_rng(int(f[0])).normal(size=(1, 32)) for f in family])
    lines = []
    for e, step in enumerate(steps):
        success = {s.name: (rng.random(episodes) < skill[e, t]).astype(int).tolist() for t, s in enumerate(specs)}
        scale = [s.score_range[1] if s.score_range else 800.0 for s in specs]
        returns = {s.name: (scale[t] * skill[e, t] + rng.normal(0, 8, episodes)).tolist() for t, s in enumerate(specs)}
        vectors = {s.name: (base[t] + rng.normal(0, 0.6, 32)).tolist() for t, s in enumerate(specs)}
        task = {
            "score": {s.name: score(s, returns[s.name], success[s.name]) for s in specs},
            "return": returns,
            "success": {s.name: success[s.name] for s in specs if s.success != "none"},
            "length": {s.name: [s.horizon] * episodes for s in specs},
        }
        seconds = 60 + step / 24.0
        lines.append(
            {
                "step": int(step),
                "seconds": seconds,
                "episodes": episodes,
                "task": task,
                "embedding": vectors if embed else None,
            }
        )
    return lines


def _metric_lines(rng, specs, last, every, restarts) -> list[dict]:
    lines = []
    for step in range(every, last + 1, every):
        done, names = step / 100_000, [s.name for s in specs]
        spread = np.linspace(0.6, 1.6, len(names))

        def per_task(level, spread=spread, names=names):
            return dict(zip(names, (level * spread * rng.lognormal(0, 0.08, len(names))).tolist(), strict=True))

        task = {
            "episode_return": per_task(400 * done),
            "critic_loss": per_task(3 + 12 * np.exp(-6 * done)),
            "entropy": per_task(-1.5 - 0.8 * done),
            "critic_gradient_norm": per_task(0.6 + 2 * np.exp(-4 * done)),
            "actor_gradient_norm": per_task(0.1 + 0.2 * done),
            "q_mean": per_task(6 * done / (0.3 + done)),
            "reward_scale": per_task(90 + 200 * done),
            "restarts": {n: (restarts if i == 2 and done > 0.4 else 0) for i, n in enumerate(names)},
        }
        noise = float(rng.lognormal(0, 0.05))
        time = {
            "simulate": 0.004 * step,
            "sample": 0.002 * step,
            "update": 0.03 * step,
            "evaluate": 0.003 * step,
            "checkpoint": 0.0008 * step,
        }
        lines.append(
            {
                "step": step,
                "seconds": 55 + step / 24.0,
                "steps_per_second": 240 * noise,
                "critic_loss": (3 + 12 * np.exp(-6 * done)) * noise,
                "actor_loss": -4 * done * noise,
                "entropy": -1.5 - 0.8 * done,
                "temperature": 0.1 * np.exp(-3 * done) + 0.004,
                "critic_gradient_norm": (0.6 + 2 * np.exp(-4 * done)) * noise,
                "actor_gradient_norm": 0.1 + 0.2 * done * noise,
                "parameter_norm": 180 + 90 * done,
                "task": task,
                "replay_transitions": step * len(names),
                "replay_bytes": step * len(names) * 340,
                "peak_memory_bytes": int(1.1e9 + step * len(names) * 340),
                "time": time,
            }
        )
    return lines


def make_run(
    folder: Path,
    specs: list[TaskSpec] | None = None,
    seed: int = 0,
    evaluations: int = 20,
    last: int = 100_000,
    speed: float = 1.0,
    **agent,
) -> Path:
    """A run folder of some tasks (MT10 by default) with so many evaluations; `agent` goes into its config."""
    specs = metaworld() if specs is None else specs
    rng = np.random.default_rng([seed, len(specs), int(speed * 1000)])
    folder.mkdir(parents=True)
    steps = np.linspace(0, last, evaluations + 1)[1:].astype(int)
    embed = agent.get("conditioning", "embedding") == "embedding" and len(specs) > 1
    skill = _skill(rng, len(specs), steps, speed)
    typed = ["metaworld/mt10"] if [s.name.split("/")[1] for s in specs] == MT10 else [s.name for s in specs]
    config = {
        "kind": "online",
        "tasks": typed,
        "task": {"horizon": 200, "goals": "varying", "reward_version": "v2", "discount": 0.99},
        "agent": {"kind": "brc", "critic_width": 256, "batch": 256, **agent},
        "seed": seed,
        "steps": last,
        "eval_every": last // max(evaluations, 1),
        "eval_episodes": 10,
        "checkpoint_every": 10_000,
        "log_every": 1_000,
        "engine": "auto",
        "specs": [dataclasses.asdict(s) for s in specs],
    }
    session = {
        "started": "2026-11-22T01:00:00+00:00",
        "command": f"polytask train {' '.join(typed)} --seed {seed}",
        "python": "3.11.9",
        "cpu": "AMD EPYC",
        "cores": 2,
        "memory_bytes": 8_000_000_000,
        "devices": ["cpu"],
        "packages": {"polytask": "0.1.0", "jax": "0.10.2", "envpool": "1.2.5"},
        "git": "0123abc",
    }
    provenance = {"sessions": [session]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "provenance.json").write_text(json.dumps(provenance))
    every = max(last // 50, 1)
    for name, lines in (
        ("metrics.jsonl", _metric_lines(rng, specs, last if evaluations else 4 * every, every, 3 if seed == 1 else 0)),
        ("evaluations.jsonl", _evaluation_lines(rng, specs, steps, skill, 10, embed)),
    ):
        check_names(config, name, lines)
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def check_names(config: dict, file: str, lines: list[dict]) -> None:
    """No line holds what the schema of its kind does not name, so that a fixture cannot write what no trainer does."""
    schema = kinds.kind_of(config).schema
    known = {*EVERY_LINE, *(measure.name for measure in schema.measures), *schema.logged}
    for line in lines if file == "metrics.jsonl" else ():
        assert {*line, *line.get("task", {})} - {"task"} <= known


class Specs:
    """Makers of task lists."""

    MT10 = MT10
    metaworld = staticmethod(metaworld)
    dmc = staticmethod(dmc)
    gym = staticmethod(gym)


@pytest.fixture(scope="session")
def specs() -> type[Specs]:
    return Specs


@pytest.fixture
def run_folder(tmp_path):
    """Makes run folders under this test's own folder: run_folder("a", seed=1)."""
    return lambda name, *args, **kwargs: make_run(tmp_path / name, *args, **kwargs)


@pytest.fixture
def data_runs(tmp_path):
    """Two runs from data as the trainer writes them, one by another combiner, with affinity recorded."""
    return [make_data_run(tmp_path / combine, combine) for combine in ("sum", "pcgrad")]


def make_data_run(folder: Path, combine: str, steps: int = 1_000, every: int = 50) -> Path:
    """A run of eight tasks, half of them answers and half numbers."""
    from tests.affinity.runs import write_affinity

    rng = np.random.default_rng(len(combine))
    names = [f"attribute-number-{i}" for i in range(8)]
    kinds = ["binary", "regression"] * 4
    write_affinity(folder, names, parts=("model",))
    specs = [{"name": n, "kind": k, "outputs": 1} for n, k in zip(names, kinds, strict=True)]
    config = {
        "kind": "supervised",
        "problem": "problems/digit-attributes-8",
        "combine": combine,
        "seed": 0,
        "steps": steps,
        "specs": specs,
    }
    session = {"started": "2026-11-22T01:00:00+00:00", "command": "polytask train", "packages": {"polytask": "0.1.0"}}
    metrics, evaluations = [], []
    for step in range(every, steps + 1, every):
        level = np.exp(-3 * step / steps) * rng.lognormal(0, 0.05, 8)

        def named(values: np.ndarray) -> dict[str, float]:
            return dict(zip(names, values.tolist(), strict=True))

        losses = {"loss": named(level), "validation_loss": named(1.1 * level)}
        record = {"step": step, "seconds": step / 100, "steps_per_second": 100.0, "gradient_norm": float(level.sum())}
        record |= {"loss": float(level.sum()), "validation_loss": float(level.sum()), "parameter_norm": 9.0}
        time = {"compile": 2.0, "update": step / 100, "checkpoint": 0.1}
        metrics.append(
            {**record, "task": {**losses, "weight": named(np.ones(8))}, "peak_memory_bytes": 10**9, "time": time}
        )
        figures = {**losses, "score": named(1 - level), "rows": named(np.full(8, 360.0))}
        figures |= {"validation_score": named(1 - level), "train_score": named(1 - level), "train_loss": named(level)}
        evaluations.append({"step": step, "seconds": step / 100, "best_step": step, "task": figures})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "provenance.json").write_text(json.dumps({"sessions": [session]}))
    for name, lines in (("metrics.jsonl", metrics), ("evaluations.jsonl", evaluations)):
        check_names(config, name, lines)
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def decision_runs(tmp_path):
    """Two seeds by TaskMet and one by squared error, as the trainer for decisions writes them."""
    taskmet = [make_decision_run(tmp_path / f"taskmet{seed}", "taskmet", seed) for seed in (0, 1)]
    return [*taskmet, make_decision_run(tmp_path / "two-stage", "two-stage", 0)]


def make_decision_run(folder: Path, loss: str, seed: int, steps: int = 1_000, every: int = 25) -> Path:
    """A run of three tasks with five outputs each; by TaskMet with a metric that depends on the input."""
    rng = np.random.default_rng([seed, len(loss)])
    folder.mkdir(parents=True)
    learns = loss == "taskmet"
    spec = {"name": "stock", "kind": "decision", "outputs": 5, "rows": 3, "steps_of_update": 10 if learns else 1}
    config = {
        "kind": "decisions",
        "problem": "problems/stock",
        "loss": loss,
        "metric": "input",
        "per_task": False,
        "trace": 0.0,
    }
    config |= {"seed": seed, "steps": steps, "specs": [spec], "drawn": {"train": 200, "sha256": f"{seed}"}}
    session = {"started": "2026-11-22T01:00:00+00:00", "command": "polytask train", "packages": {"polytask": "0.1.0"}}
    metrics, evaluations = [], []
    for step in range(every, steps + 1, every):
        done = step / steps
        record = {
            "step": step,
            "seconds": step / 100,
            "steps_per_second": 100.0,
            "loss": 2 - done,
            "parameter_norm": 1.0,
        }
        record |= {"inner_residual": 0.1 + 3 * done * float(rng.lognormal(0, 0.2))} if learns else {"gradient": 1.0}
        metrics.append({**record, "peak_memory_bytes": 10**9, "time": {"compile": 2.0, "update": step / 100}})
        quality = (0.9 if learns else 0.6) - float(np.exp(-6 * done)) + float(rng.normal(0, 0.01))
        error = (3.0 if learns else 1.0) + float(np.exp(-4 * done)) + float(rng.normal(0, 0.05))
        figures = {"score": {"stock": quality}, "squared_error": {"stock": error}, "rows": {"stock": 500}}
        evaluations.append({"step": step, "seconds": step / 100, "task": figures})
        if learns:
            names = {"tasks": ["north", "a shop in the south", "west"], "outputs": [str(i) for i in range(5)]}
            tables = {
                "weights": rng.lognormal(2, 1, (3, 5)).tolist(),
                "by_truth": rng.lognormal(0, 1, (3, 10)).tolist(),
            }
            evaluations[-1]["metric"] = {**names, **tables}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "provenance.json").write_text(json.dumps({"sessions": [session]}))
    for name, lines in (("metrics.jsonl", metrics), ("evaluations.jsonl", evaluations)):
        check_names(config, name, lines)
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium."""
    from tests.report.browser import running

    with running(tmp_path_factory.mktemp("profile")) as found:
        yield found
