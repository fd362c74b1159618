"""A run is a folder: its configuration, checkpoints, logs and what they say.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.runs.affinity_log import read_affinity as read_affinity
    from polytask.runs.folder import RunFolder as RunFolder
    from polytask.runs.folder import RunFolderError as RunFolderError
    from polytask.runs.progress import TaskRow as TaskRow
    from polytask.runs.records import Measure as Measure
    from polytask.runs.records import Schema as Schema
    from polytask.runs.records import TaskFacts as TaskFacts

_HOME = {
    "read_affinity": "affinity_log",
    "RunFolder": "folder",
    "RunFolderError": "folder",
    "TaskRow": "progress",
    "Measure": "records",
    "Schema": "records",
    "TaskFacts": "records",
}

__getattr__, __dir__ = exports(__name__, _HOME)
