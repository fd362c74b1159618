"""Files of tables as DataFrames of pandas, which is imported when a table is used.

pandas rather than polars, since that is what most tables in notebooks are held in; a polars frame is taken too.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polytask.lazy import optional

Frame = Any  # a pandas.DataFrame
Column = Any  # a pandas.Series

SUFFIXES = (".csv", ".tsv", ".parquet")
_SEPARATORS = ",;\t|"
_MISSING = ("?",)  # beside what pandas takes for missing: an empty cell, NA, NaN, null, None, ...


def is_table(name: str) -> bool:
    """Whether a name is that of a file of a table."""
    return not name.startswith(("-", "data:")) and name.lower().endswith(SUFFIXES)


def pandas() -> Any:
    """The package. Raises ImportError, with the command that installs it."""
    return optional("pandas", "tables")


def read(file: Path | str) -> Frame:
    """The table of a CSV, TSV or Parquet file. CSV may have commas, semicolons (with decimal commas), tabs or bars.

    Raises ValueError, saying what is wrong, for a file that cannot be read as a table, FileNotFoundError where there is
    none, and ImportError where a package is missing.
    """
    path, pd = Path(file), pandas()
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}{_beside(path)}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file ending in {', '.join(SUFFIXES)}")
    parquet = path.suffix.lower() == ".parquet"
    if parquet:
        optional("pyarrow", "tables")
    try:
        frame = pd.read_parquet(path) if parquet else _read_csv(pd, path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except ValueError as error:  # pandas' own, with a line number where it has one, and pyarrow's
        said = str(error).strip().replace("\n", " ")
        raise ValueError(f"{path} cannot be read as a table: {said}") from error
    frame = normal(frame)
    if not len(frame):
        raise ValueError(f"{path} has no rows" + (", only a line of headings" if len(frame.columns) else ""))
    return frame


def normal(given: Any) -> Frame:
    """A frame of pandas, or of a package that gives one by `to_pandas`; names become texts, rows are counted from 0.

    Raises ValueError for two columns of one name.
    """
    frame = given.to_pandas() if hasattr(given, "to_pandas") else given
    frame = frame.rename(columns=lambda name: str(name).strip()).reset_index(drop=True)
    names = list(frame.columns)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the table has more than one column '{repeated[0]}'; give each a name of its own")
    return frame


def listed(names: Iterable[object], most: int = 20) -> str:
    """Names with commas between; of many the first ones, and how many more there are."""
    found = list(map(str, names))
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


def write(frame: Frame, file: Path) -> None:
    """A table as CSV, TSV or Parquet, as its name ends.

    Raises ValueError for another ending, and OSError.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{file}: a table is written as {', '.join(SUFFIXES)}; name the file so")
    if suffix == ".parquet":
        frame.to_parquet(file, index=False)
    else:
        frame.to_csv(file, index=False, sep="\t" if suffix == ".tsv" else ",")


def _read_csv(pd: Any, path: Path) -> Frame:
    with path.open(encoding="utf-8-sig") as file:
        heading, first = file.readline(), file.readline()
    if not heading.strip():
        raise ValueError("it is empty")
    separator = max(_SEPARATORS, key=heading.count)
    decimal = "," if separator == ";" and "," in first and "." not in first else "."
    return pd.read_csv(
        path,
        sep=separator,
        decimal=decimal,
        na_values=list(_MISSING),
        encoding="utf-8-sig",
        skipinitialspace=True,
        low_memory=False,
    )


def _beside(path: Path) -> str:
    """The tables that lie where one was looked for."""
    folder = path.parent
    if not folder.is_dir():
        return f", and no folder {folder}"
    found = sorted(p.name for p in folder.iterdir() if is_table(p.name))[:8]
    return f"; in {folder.resolve()} there are {', '.join(found)}" if found else f" in {folder.resolve()}"
