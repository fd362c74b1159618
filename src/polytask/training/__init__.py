"""One idea of a training: what every kind of training is, and the only loop that trains.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.training.arguments import Common as Common
    from polytask.training.arguments import asked as asked
    from polytask.training.arguments import parse as parse
    from polytask.training.config import RunConfig as RunConfig
    from polytask.training.kinds import Kind as Kind
    from polytask.training.kinds import Measured as Measured
    from polytask.training.kinds import Options as Options
    from polytask.training.kinds import load as load
    from polytask.training.start import train as train
    from polytask.training.start import train_seeds as train_seeds
    from polytask.training.trainer import Diverged as Diverged
    from polytask.training.trainer import Record as Record
    from polytask.training.trainer import Saved as Saved
    from polytask.training.trainer import SeedsStopped as SeedsStopped
    from polytask.training.trainer import Tick as Tick
    from polytask.training.trainer import Trainer as Trainer

_HOME = {
    "Common": "arguments",
    "asked": "arguments",
    "parse": "arguments",
    "RunConfig": "config",
    "Kind": "kinds",
    "Measured": "kinds",
    "Options": "kinds",
    "load": "kinds",
    "Diverged": "trainer",
    "Record": "trainer",
    "Saved": "trainer",
    "SeedsStopped": "trainer",
    "Tick": "trainer",
    "Trainer": "trainer",
    "train": "start",
    "train_seeds": "start",
}

__getattr__, __dir__ = exports(__name__, _HOME)
