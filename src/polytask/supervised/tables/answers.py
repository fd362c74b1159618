"""Answers of a trained model about new rows of a table, as a table."""

from typing import TYPE_CHECKING, Any

import numpy as np

from polytask.supervised.tables.reading import Frame, normal, pandas

if TYPE_CHECKING:
    from polytask.supervised.predictor import Predictor


def answers(predictor: "Predictor", frame: Frame) -> Frame:
    """A row for each row of the frame, in its order.

    First the columns that the run was told to drop, such as an id, as far as they are there. Then for each target: a
    regression in units of the table; for binary and classes the likeliest value as the table has it, and the
    probability of yes, or of every class.
    Raises ValueError where the run was not trained on a table, and as `Table.encode`.
    """
    table = predictor.table
    if table is None:
        raise ValueError("this run was not trained on a table; give `predict` an array of inputs as it was trained on")
    frame = normal(frame)
    found = predictor.predict(table.encode(frame))
    shown: dict[str, Any] = {name: frame[name] for name in table.kept if name in frame.columns}
    for target in table.targets:
        if target.name not in found:  # the run was of some of the targets
            continue
        values = found[target.name]
        if target.kind == "regression":
            shown[target.name] = values
        elif target.kind == "binary":
            shown[target.name] = _named(target.classes, (values > 0.5).astype(int))
            shown[f"{target.name}_probability"] = values
        else:
            shown[target.name] = _named(target.classes, values.argmax(-1))
            shown |= {f"{target.name}_{label}": values[:, i] for i, label in enumerate(target.classes)}
    return pandas().DataFrame(shown)


def _named(classes: tuple[Any, ...], chosen: np.ndarray) -> list[Any]:
    return [classes[i] for i in chosen.tolist()]
