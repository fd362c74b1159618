"""What of a table a run keeps, so that new rows become inputs, and answers become values of the table again."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from polytask.supervised.tables.columns import Input, encode
from polytask.supervised.tables.reading import Frame, listed
from polytask.supervised.tables.targets import Target


@dataclasses.dataclass(frozen=True)
class Table:
    """How the columns of a table were taken.

    - `inputs`: in order, fitted on the training rows; `targets`: the columns that are predicted.
    - `kept`: columns that are neither and are copied beside answers.
    - `split`: how the rows were split, `notes`: what else a person should know, in words.
    """

    inputs: tuple[Input, ...]
    targets: tuple[Target, ...]
    kept: tuple[str, ...]
    split: str
    notes: tuple[str, ...]

    def encode(self, frame: Frame) -> Float[np.ndarray, "rows inputs"]:
        """The inputs of new rows.

        Raises ValueError naming columns that are missing, and for values that cannot be.
        """
        missing = [one.name for one in self.inputs if one.name not in frame.columns]
        if missing:
            raise ValueError(
                f"the table lacks {listed(missing)}, which the run was trained on; it has {listed(frame.columns)}"
            )
        return encode(self.inputs, frame)


def from_json(content: Mapping[str, Any]) -> Table:
    """The table of a run, from its config.json."""
    inputs = tuple(Input(**{**one, "levels": tuple(one["levels"])}) for one in content["inputs"])
    targets = tuple(Target(**{**one, "classes": tuple(one["classes"])}) for one in content["targets"])
    return Table(inputs, targets, tuple(content["kept"]), content["split"], tuple(content["notes"]))
