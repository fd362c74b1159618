"""A trained policy as files that run without polytask: ONNX, StableHLO, or NumPy alone."""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.export.writing import export as export

_HOME = {"export": "writing"}

__getattr__, __dir__ = exports(__name__, _HOME)
