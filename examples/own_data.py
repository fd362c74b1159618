"""Train one model with three heads on data of your own, in which labels are missing, and use it.

Run it from this folder: python own_data.py; or polytask train problems/own_data:houses --combine pcgrad
"""

import tempfile
from pathlib import Path

import numpy as np

from polytask.supervised import HeadSpec, Problem, Rows, TrainConfig, TrunkConfig, load, make_problem, split, train

TASKS = (
    HeadSpec("price", "regression"),
    HeadSpec("sold", "binary"),
    HeadSpec("style", "classes", outputs=3),
)


def houses(seed: int = 0) -> Problem:
    """Made-up houses: six facts of each; only every second one has a price, since the others were never offered."""
    rng = np.random.default_rng(seed)
    facts = rng.normal(size=(1_000, 6)).astype(np.float32)
    price = facts @ rng.normal(size=6) + 0.1 * rng.normal(size=1_000)
    rows = Rows(
        facts,
        {"price": price, "sold": price + facts[:, 0] > 0, "style": np.argmax(facts[:, :3], axis=1)},
        present={"price": np.arange(1_000) % 2 == 0},
    )
    return make_problem("houses", TASKS, *split(rows, seed))


def main(steps: int = 1_000) -> None:
    """Trains in a folder, then predicts for two houses."""
    config = TrainConfig(problem="houses", trunk=TrunkConfig(width=64), combine="pcgrad", steps=steps, patience=5)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config, houses(), run)
        answers = load(run).predict(np.zeros((2, 6), np.float32))
    for name, answer in answers.items():
        print(name, np.round(answer, 2).tolist())


if __name__ == "__main__":
    main()
