"""Train BRC and the SAC baseline on the same two tasks, and write one report that compares them.

python compare_agents.py; then open runs/comparison/comparison.html
"""

import tempfile
from pathlib import Path

import polytask
from polytask.report import write_report

TASKS = ("dmc/cartpole-balance", "gym/Pendulum-v1")


def main(steps: int = 10_000, folder: Path | None = None) -> None:
    """Trains both agents with two seeds each, then compares them."""
    folder = folder or Path(tempfile.mkdtemp())
    agents = {
        "brc": polytask.BRCConfig(critic_width=64, actor_width=64, batch_size=128),
        "sac": polytask.SACConfig(width=64, batch_size=128),
    }
    runs = []
    for name, agent in agents.items():
        for seed in range(2):
            config = polytask.TrainConfig(
                tasks=TASKS,
                agent=agent,
                task=polytask.TaskOptions(horizon=200),
                seed=seed,
                steps=steps,
                warmup_steps=min(1_000, steps // 2),
                eval_every=steps // 2,
                eval_episodes=2,
                checkpoint_every=max(steps // 2, 200),
            )
            runs.append(folder / f"{name}-seed{seed}")
            polytask.train(config, runs[-1])
    print("report:", write_report(runs, folder / "comparison.html"))


if __name__ == "__main__":
    main(folder=Path("runs/comparison"))
