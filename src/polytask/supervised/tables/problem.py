"""A problem from a table: a task for each column to predict, and inputs from the others."""

from collections.abc import Mapping, Sequence

import numpy as np

from polytask.supervised.problem import Problem, Rows, problem_of_rows
from polytask.supervised.tables.columns import fit_inputs
from polytask.supervised.tables.parts import known_column, make_parts
from polytask.supervised.tables.reading import Frame, listed, normal
from polytask.supervised.tables.table import Table
from polytask.supervised.tables.targets import Target, labels, make_targets


def table_problem(
    name: str,
    frame: Frame,
    targets: Sequence[str] | str,
    drop: Sequence[str] | str = (),
    split: str = "random",
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Problem:
    """The problem of predicting some columns of a DataFrame from the others, as `polytask train FILE` takes a file.

    - `targets`, `drop`, `split`, `kinds`, `seed`: as `tables.config.TableConfig`, `parts.make_parts` and
      `targets.make_targets` have them.

    A target that is missing in a row takes no part there; rows without any are left out. What inputs need, such as
    medians and levels, comes from the training rows alone.
    Raises ValueError for a column that is not there (with the nearest), is named twice, or cannot be a target; where no
    input is left; and where a part has no rows.
    """
    frame = normal(frame)
    targets, drop = ((one,) if isinstance(one, str) else tuple(one) for one in (targets, drop))
    if not targets:
        raise ValueError(
            f"name the columns to predict, such as --targets {frame.columns[-1]}; the table has columns "
            f"{listed(frame.columns)}"
        )
    for flag, names in (("--targets", targets), ("--drop", drop)):
        for one in names:
            known_column(frame, one, flag)
    twice = [one for one in (*targets, *drop) if (*targets, *drop).count(one) > 1]
    if twice:
        raise ValueError(f"column '{twice[0]}' is named more than once in --targets and --drop")
    found = make_targets(frame, targets, kinds or {})
    notes: list[str] = []
    labelled = frame[list(targets)].notna().any(axis=1)
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows without any target are left out")
        frame = frame[labelled].reset_index(drop=True)
    parts = make_parts(frame, split, seed, (*targets, *drop))
    by_value = () if parts.timed else (parts.column,)
    names = [str(c) for c in frame.columns if c not in (*targets, *drop, *by_value)]
    inputs, said = fit_inputs(frame, parts.train, names, parts.column if parts.timed else "")
    if not inputs:
        raise ValueError("no column is left to predict from: " + ("; ".join(said) or "all are targets or dropped"))
    columns = {target.name: labels(target, frame[target.name]) for target in found}
    said = (*said, *_unseen(found, columns, parts.train))
    table = Table(inputs, found, drop, parts.sentence, (*notes, *said))
    encoded = table.encode(frame)

    def rows(part: np.ndarray) -> Rows:
        return Rows(encoded[part], {one: values[part] for one, values in columns.items()})

    held = (rows(parts.train), rows(parts.validation), rows(parts.test))
    return problem_of_rows(name, tuple(target.spec for target in found), *held, table=table)


def _unseen(targets: Sequence[Target], columns: Mapping[str, np.ndarray], train: np.ndarray) -> list[str]:
    """A sentence for each class that no training row has."""
    return [
        f"{target.name}: no training row is {label}, so it is never the answer"
        for target in targets
        for number, label in enumerate(target.classes)
        if not (columns[target.name][train] == number).any()
    ]
