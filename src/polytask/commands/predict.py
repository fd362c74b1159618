"""`polytask predict`."""

import sys
from pathlib import Path
from typing import Annotated

import tyro


def predict(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_predict, prog="polytask predict", args=arguments)


def _predict(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    table: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")],
    /,
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
) -> int:
    """Answers for the rows of a table, with a run that was trained on one.

    Class names and units are those of the table; beside them are probabilities.

    Columns that the run was told to drop, such as an id, are copied.

    Args:
        run: The run folder.
        table: The new rows: CSV, TSV or Parquet, with the columns of the run's inputs.
        output: The file to write, CSV, TSV or Parquet; by default CSV goes to the screen.
    """
    from polytask.supervised.tables.reading import read, write
    from polytask.training import kinds

    predictor = kinds.load(run)
    if getattr(predictor, "table", None) is None:
        raise ValueError(
            f"{run} was not trained on a table; from Python, polytask.load({str(run)!r}) is what it learned"
        )
    found = predictor.predict(read(table))
    if output is None:
        found.to_csv(sys.stdout, index=False)
        return 0
    write(found, output)
    print(f"written {output}  ({len(found):,} rows, {', '.join(map(str, found.columns))})")
    return 0
