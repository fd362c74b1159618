"""Learning one task of the DeepMind Control suite: polytask beside what a person would take instead.

    python -m venv rivals-venv                             # for the others, away from polytask's own JAX
    rivals-venv/bin/pip install -e . sbx-rl stable-baselines3
    python benchmarks/rivals.py run --out rivals --python rivals-venv/bin/python --steps 100000 --seeds 0 1 2
    python benchmarks/rivals.py summary --out rivals --plot rivals.png

Every rival learns in a process of its own, one after another, all rivals of a task and a seed in turn. What it leaves
is a file OUT/RIVAL/TASK/SEED.jsonl: its facts, then a line for each evaluation. A file that is there is complete and
not made again, so that the same command goes on after an interruption.

All act in the same simulator: polytask's stepper of that task, in EnvPool, of the same seeds, with polytask's
observations and horizon of 1,000 steps; the others see it as a Gymnasium environment. All are evaluated by the same
code, on the same ten episodes, under the mode of the policy (in polytask the policy's average, as it always is).
Seconds are of wall time from the start of the command on, evaluations taken out; of polytask's, start-up and all else
that its own clock leaves out come first.

The hyperparameters are each one's defaults, polytask's included. Nobody publishes any for these tasks in SBX or
Stable-Baselines3; "-simba" has what the author of SBX reports SimBa with (https://github.com/araffin/sbx/pull/59: a
residual network, AdamW, normalised observations, 10,000 random steps), tuned on Gymnasium's MuJoCo tasks.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

EPISODES = 10
TASKS = ("dmc/walker-walk", "dmc/cheetah-run", "dmc/finger-spin")
POLYTASK = {"polytask-brc": "brc", "polytask-sac": "sac"}
GOAL, SHARE = 500.0, 0.9
Cell = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Rival:
    """An algorithm of another package; `simba` for the settings that the docstring tells of."""

    package: str
    algorithm: str
    simba: bool = False

    def make(self, environment: Any, seed: int) -> Any:
        """The model, which knows its environment."""
        import importlib

        from stable_baselines3.common.monitor import Monitor
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        kind = getattr(importlib.import_module(self.package), self.algorithm)
        vector = DummyVecEnv([lambda: Monitor(environment)])
        if not self.simba:
            return kind("MlpPolicy", vector, seed=seed)
        import optax

        return kind(
            "SimbaPolicy",
            VecNormalize(vector, norm_reward=False),
            seed=seed,
            learning_starts=10_000,
            policy_kwargs={
                "optimizer_class": optax.adamw,
                "net_arch": {"pi": [128], "qf": [256, 256]},
                "n_critics": 2,
            },
        )


OTHERS = {
    "sbx-sac": Rival("sbx", "SAC"),
    "sbx-tqc": Rival("sbx", "TQC"),
    "sbx-crossq": Rival("sbx", "CrossQ"),
    "sbx-tqc-simba": Rival("sbx", "TQC", simba=True),
    "sb3-sac": Rival("stable_baselines3", "SAC"),
}


def learn_other(rival: Rival, task: str, seed: int, steps: int, every: int, began: float) -> Iterator[Cell]:
    """Trains a rival in this process and gives its facts and evaluations. `began`: when the command did."""
    import gymnasium
    from common import facts
    from stable_baselines3.common.callbacks import BaseCallback

    from polytask import random
    from polytask.evaluation.rollouts import evaluate
    from polytask.stepping import make_stepper
    from polytask.tasks import resolve

    tasks = resolve([task])
    (spec,) = tasks
    acting, evaluating = (make_stepper(tasks, goal_seed=random.integer(seed, "goals")) for _ in range(2))

    class OneTask(gymnasium.Env):
        """The stepper of one task; it begins the next episode by itself."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (spec.observation_dim,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (spec.action_dim,), np.float32)

        def __init__(self) -> None:
            self.observations = acting.reset(random.integer(seed, "environment"))

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return self.observations[0], {}

        def step(self, action: np.ndarray) -> Any:
            result = acting.step(action[None])
            self.observations = result.observations
            terminated, truncated = bool(result.terminated[0]), bool(result.truncated[0] or result.restarted[0])
            return result.next_observations[0], float(result.rewards[0]), terminated, truncated, {}

    model, found, spent = rival.make(OneTask(), seed), [], 0.0
    normaliser = model.get_vec_normalize_env()

    def policy(observations: np.ndarray) -> np.ndarray:
        seen = observations if normaliser is None else normaliser.normalize_obs(observations)
        return model.predict(seen, deterministic=True)[0]

    class Evaluating(BaseCallback):
        """What is learned so far; the clock stands still meanwhile."""

        def _on_step(self) -> bool:
            nonlocal spent
            if self.num_timesteps % every == 0:
                begin = time.time()
                key = random.integer(seed, "evaluate", self.num_timesteps)
                returns = evaluate(policy, evaluating, EPISODES, key).returns[0]
                line = {"step": self.num_timesteps, "seconds": begin - began - spent, "returns": returns.tolist()}
                found.append(line)
                spent += time.time() - begin
            return True

    yield {**facts(), "versions": versions()}
    model.learn(steps, callback=Evaluating())
    yield from found


def versions() -> dict[str, str]:
    """Of what the rivals are made of, as far as it is installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("polytask", "sbx-rl", "stable-baselines3", "jax", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def learn_polytask(agent: str, task: str, seed: int, steps: int, every: int) -> list[Cell]:
    """Trains by the command line; facts, and the lines of its run folder as those of `learn_other`."""
    from common import facts

    from polytask.runs.folder import RunFolder

    known, begin = {**facts(), "versions": versions()}, time.time()
    with tempfile.TemporaryDirectory() as run:
        words = [
            *(sys.executable, "-m", "polytask", "train", task, "--agent.kind", agent, "--seed", str(seed)),
            *("--steps", str(steps), "--eval-every", str(every), "--eval-episodes", str(EPISODES)),
            *("--no-tensorboard", "--run", run),
        ]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        wall = time.time() - begin
        evaluations, metrics = RunFolder(run).read_evaluations(), RunFolder(run).read_metrics()
    outside = wall - evaluations[-1]["seconds"]
    clocks = {line["step"]: line["time"] for line in metrics}  # as it was just before the evaluation of that step
    lines = []
    for line in evaluations:
        spent = sum(taken for name, taken in clocks[line["step"]].items() if name != "evaluate")
        lines.append({"step": line["step"], "seconds": outside + spent, "returns": line["task"]["return"][task]})
    return [known, *lines]


def learn_apart(python: Path, rival: str, task: str, seed: int, steps: int, every: int) -> list[Cell]:
    """Facts and evaluations of a rival that learns in another interpreter."""
    words = [str(python), __file__, "cell", rival, task, *map(str, (seed, steps, every, time.time()))]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def path_of(out: Path, rival: str, task: str, seed: int) -> Path:
    """Where a cell lies."""
    return out / rival / task.replace("/", "-") / f"{seed}.jsonl"


def learn(rival: str, task: str, seed: int, given: argparse.Namespace) -> bool:
    """Makes one cell, unless it is there; whether it is there now."""
    file, name = path_of(given.out, rival, task, seed), f"{rival}, {task}, seed {seed}"
    asked = {"steps": given.steps, "every": given.every}
    if file.exists():
        head = json.loads(file.read_text().splitlines()[0])
        if any(head[key] != value for key, value in asked.items()):
            was = f"--steps {head['steps']} --every {head['every']}"
            raise SystemExit(f"error: {file} is of {was}; give these, or another --out")
        print(f"{name}: there already", flush=True)
        return True
    file.parent.mkdir(parents=True, exist_ok=True)
    settings = (task, seed, given.steps, given.every)
    try:
        if rival in POLYTASK:
            known, *lines = learn_polytask(POLYTASK[rival], *settings)
        else:
            known, *lines = learn_apart(given.python, rival, *settings)
    except subprocess.CalledProcessError as error:
        print(f"{name}: FAILED with status {error.returncode}", flush=True)
        return False
    head = {"rival": rival, "task": task, "seed": seed, **asked, **known}
    part = file.with_suffix(".part")
    part.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))
    part.replace(file)
    value, seconds = statistics.mean(lines[-1]["returns"]), lines[-1]["seconds"]
    print(f"{name}: {value:.0f} after {seconds:.0f} s", flush=True)
    return True


def read(out: Path) -> list[Cell]:
    """All complete cells; "curve" has (step, seconds, mean return) of every evaluation."""
    cells = []
    for file in sorted(out.glob("*/*/*.jsonl")):
        head, *lines = [json.loads(line) for line in file.read_text().splitlines()]
        cells.append({**head, "curve": [(e["step"], e["seconds"], statistics.mean(e["returns"])) for e in lines]})
    return cells


def reached(cell: Cell, goal: float) -> tuple[int, float] | None:
    """Steps and seconds at the first evaluation whose mean return is the goal or better."""
    return next(((step, seconds) for step, seconds, value in cell["curve"] if value >= goal), None)


def spread(values: list[float], form: Callable[[float], str]) -> str:
    """Mean and range over seeds."""
    low, high = form(min(values)), form(max(values))
    return form(statistics.mean(values)) + (f" ({low} to {high})" if len(values) > 1 else "")


def times(cells: list[Cell], goal: float) -> tuple[str, str]:
    """Steps and minutes to a goal, of the seeds that reach it."""
    found = [at for cell in cells if (at := reached(cell, goal))]
    if not found:
        return "never", "never"
    some = "" if len(found) == len(cells) else f", {len(found)} of {len(cells)}"
    steps = spread([step / 1e3 for step, _ in found], "{:.3g}k".format)
    return steps + some, spread([seconds / 60 for _, seconds in found], "{:.3g}".format) + some


def table(cells: list[Cell]) -> Iterator[str]:
    """The lines of the table; the best is the best evaluation of anybody on the task."""
    yield (
        f"| task | rival | last return | steps/s, start included | steps to {GOAL:.0f} | minutes to {GOAL:.0f} "
        f"| steps to {SHARE:.0%} of the best | minutes | seeds |"
    )
    yield f"|{'---|' * 9}"
    for task in dict.fromkeys(cell["task"] for cell in cells):
        here = [cell for cell in cells if cell["task"] == task]
        best = max(value for cell in here for _, _, value in cell["curve"])
        for rival in (*POLYTASK, *OTHERS):
            own = [cell for cell in here if cell["rival"] == rival]
            if own:
                last = spread([cell["curve"][-1][2] for cell in own], "{:.0f}".format)
                rate = spread([cell["curve"][-1][0] / cell["curve"][-1][1] for cell in own], "{:.0f}".format)
                goals = (*times(own, GOAL), *times(own, SHARE * best))
                yield f"| {task} | {rival} | {last} | {rate} | {' | '.join(goals)} | {len(own)} |"


def plot(cells: list[Cell], file: Path) -> None:
    """Returns against steps and against minutes, a row for each task; a line for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    figure, grid = plt.subplots(
        len(tasks), 2, figsize=(9, 3 * len(tasks)), sharey="row", squeeze=False, layout="constrained"
    )
    for task, row in zip(tasks, grid, strict=True):
        for colour, rival in enumerate((*POLYTASK, *OTHERS)):
            for i, cell in enumerate(c for c in cells if (c["task"], c["rival"]) == (task, rival)):
                steps, seconds, values = zip(*cell["curve"], strict=True)
                style = {"color": f"C{colour}", "label": None if i else rival}
                row[0].plot(steps, values, **style)
                row[1].plot([s / 60 for s in seconds], values, **style)
        row[0].set(xlabel="steps", ylabel=f"return, {task}")
        row[1].set(xlabel="minutes, without evaluations")
        for axes in row:
            axes.grid(True, alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    grid[0, 1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(file, dpi=150)


def summary(out: Path, image: Path | None) -> None:
    """Prints the table and what it stands on; draws the plot if an image is named."""
    cells = read(out)
    if not cells:
        raise SystemExit(f"error: {out} has no cell; `{Path(__file__).name} run --out {out}` makes them")
    for line in table(cells):
        print(line)

    def all_of(values: Iterable[Any]) -> str:
        return ", ".join(map(str, sorted(set(values))))

    machines = all_of(f"{cell['cores']} cores of {cell['cpu']} ({all_of(cell['devices'])})" for cell in cells)
    packages = all_of(f"{name} {version}" for cell in cells for name, version in cell["versions"].items())
    loads = [cell["load"] for cell in cells]
    print(
        f"\nMean and range over seeds; {all_of(cell['steps'] for cell in cells)} steps, evaluated every "
        f"{all_of(cell['every'] for cell in cells)} on {EPISODES} episodes, which times leave out. {machines}; "
        f"load {min(loads)} to {max(loads)} before; {packages}."
    )
    if image is not None:
        plot(cells, image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the cells that are not there")
    run.add_argument("--out", type=Path, required=True, help="a folder for the cells")
    run.add_argument("--python", type=Path, default=Path(sys.executable), help="an interpreter that has the others")
    run.add_argument("--rivals", nargs="+", default=[*POLYTASK, *OTHERS], choices=[*POLYTASK, *OTHERS])
    run.add_argument("--tasks", nargs="+", default=TASKS)
    run.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    run.add_argument("--steps", type=int, default=100_000, help="a multiple of --every")
    run.add_argument("--every", type=int, default=5_000, help="steps between evaluations, a multiple of 1,000")
    summed = commands.add_parser("summary", help="print the table")
    summed.add_argument("--out", type=Path, required=True)
    summed.add_argument("--plot", type=Path, help="a file for the plot")
    cell = commands.add_parser("cell", help="what `run` calls in the other interpreter")
    cell.add_argument("rival", choices=list(OTHERS))
    cell.add_argument("task")
    for name, kind in (("seed", int), ("steps", int), ("every", int), ("began", float)):
        cell.add_argument(name, type=kind)
    given = parser.parse_args()
    if given.command == "summary":
        summary(given.out, given.plot)
    elif given.command == "cell":
        for line in learn_other(OTHERS[given.rival], given.task, given.seed, given.steps, given.every, given.began):
            print(json.dumps(line), flush=True)
    else:
        if given.every % 1000 or given.steps % given.every:
            parser.error("--every has to be a multiple of 1,000, and --steps of --every")
        cells = itertools.product(given.seeds, given.tasks, given.rivals)
        failed = [not learn(rival, task, seed, given) for seed, task, rival in cells]
        if any(failed):
            raise SystemExit(f"{sum(failed)} failed; with --python, is there all that this file's docstring installs?")


if __name__ == "__main__":
    main()
