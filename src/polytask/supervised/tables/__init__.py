"""Tables of a person's own, from a file or a DataFrame, as problems with a task for each column to predict."""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.supervised.tables.config import TableConfig as TableConfig
    from polytask.supervised.tables.problem import table_problem as table_problem
    from polytask.supervised.tables.reading import read as read
    from polytask.supervised.tables.table import Table as Table

_HOME = {"TableConfig": "config", "table_problem": "problem", "read": "reading", "Table": "table"}

__getattr__, __dir__ = exports(__name__, _HOME)
