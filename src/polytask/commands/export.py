"""`polytask export`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro


def export(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_export, prog="polytask export", args=arguments)


def _export(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    format: Literal["onnx", "stablehlo", "numpy"] = "numpy",
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None,
) -> int:
    """Writes a run's policy as files that act without polytask.

    Args:
        run: The run folder, or a checkpoint folder.
        format: numpy needs NumPy alone; stablehlo is for XLA's runtimes; onnx takes pip install 'polytask[export]'.
        out: The folder to write into; by default RUN/export/FORMAT.
    """
    from polytask.export import export

    print(f"written {export(run, format, out)}")
    return 0
