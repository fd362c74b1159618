"""`polytask record`."""

import re
from pathlib import Path
from typing import Annotated

import tyro


def record(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_record, prog="polytask record", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def _record(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    episodes: int = 100,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None,
    seed: int = 0,
    deterministic: bool = False,
    replay: bool = False,
) -> int:
    """Writes the transitions of every task of a run as data sets in Minari's format.

    `polytask tasks data:DIR` shows what is in them.

    `polytask train data:DIR` learns from them.

    Needs pip install 'polytask[offline]'.

    Args:
        run: The run folder.
        episodes: Episodes of each task under the run's policy.
        out: The folder that the sets are written into; by default RUN/data.
        seed: Seed of the environments.
        deterministic: Take the mode of the policy instead of drawing actions.
        replay: Write what the run's replay holds instead; --episodes is not looked at.
    """
    from rich.console import Console

    from polytask.datasets import minari
    from polytask.datasets.facts import table
    from polytask.datasets.record import of_policy, of_replay
    from polytask.policies.policy import load
    from polytask.runs.folder import RunFolder

    folder = out or run / "data"
    kind = RunFolder(run).read_config().get("agent", {}).get("kind", "policy")
    logs = of_replay(run) if replay else of_policy(load(run), episodes, seed, deterministic)
    made_by = f"polytask {kind}, {'replay' if replay else 'policy'}"
    for task in logs:
        name = re.sub(r"[^A-Za-z0-9_]+", "-", task.spec.name).strip("-")
        minari.write(folder, task, name=f"{name}-v0", algorithm=made_by)
    Console().print(table(logs))
    print(f"\nwritten {folder}")
    return 0
