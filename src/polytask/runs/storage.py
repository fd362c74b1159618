"""Files that survive a kill: written whole or not at all, synced to the disk, and checked when they are read."""

import contextlib
import errno
import hashlib
import os
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
from jaxtyping import Shaped

TEMPORARY = ".tmp-"  # how names of unfinished files and folders begin; whatever still bears one is rubbish


class StorageError(RuntimeError):
    """Something in a run folder cannot be written or is not what was written; the message says what to do."""


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(path: Path, sha256: str, count: int) -> str | None:
    """What is wrong with a file that should have `count` bytes and this checksum; None if it is intact."""
    try:
        found = path.stat().st_size
        if found != count:
            return f"{path} has {found} of {count} bytes"
        return None if digest(path) == sha256 else f"{path} is damaged: its SHA-256 is not what was written"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable: syncing a file alone does not save its directory entry."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file and waits until the disk has it; for atomicity see `replace`."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, data: bytes) -> None:
    """Replaces a file atomically: readers, and a run killed at any moment, see the old content or the new.

    Raises OSError; the temporary file is then removed and the old content stays.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        write_synced(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_arrays(path: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
    """Writes and syncs an uncompressed `.npz` that `numpy.load` opens without pickle.

    Unlike `numpy.savez`, any name will do (also "file"), the same arrays give the same bytes, and the dtypes of
    ml_dtypes, which the format does not know, survive: they are stored as integers of their size under
    "name::bfloat16". Raises OSError, and ValueError for arrays of objects.
    """
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in arrays.items():
                if array.dtype.isbuiltin == 2:  # registered by a package, here ml_dtypes
                    name, array = f"{name}::{array.dtype.name}", array.view(f"u{array.dtype.itemsize}")
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of a file of `write_arrays`; with `names`, those of them that it has."""
    with np.load(path, allow_pickle=False) as archive:
        keys = [key for key in archive.files if names is None or _name(key) in names]
        return {_name(key): _viewed(key, archive[key]) for key in keys}


def read_array(path: Path, name: str) -> Shaped[np.ndarray, "..."] | None:
    """One array of a file of `write_arrays`, without reading the others; None if the file lacks it."""
    with np.load(path, allow_pickle=False) as archive:
        return next((_viewed(key, archive[key]) for key in archive.files if _name(key) == name), None)


def array_names(path: Path) -> list[str]:
    """The names in a file of `write_arrays`, in the order written."""
    with np.load(path, allow_pickle=False) as archive:
        return [_name(key) for key in archive.files]


def _name(key: str) -> str:
    name, separator, dtype = key.rpartition("::")
    return name if separator and hasattr(ml_dtypes, dtype) else key


def _viewed(key: str, array: np.ndarray) -> np.ndarray:
    return array if _name(key) == key else array.view(getattr(ml_dtypes, key.rpartition("::")[2]))


def reason(error: OSError, folder: Path, needed: int) -> str:
    """Why writing `needed` bytes under `folder` failed, and what to do, in words for a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(existing(folder)).free
        return (
            f"the disk is full or over quota: about {size(needed)} are needed and {size(free)} are free at {folder}. "
            f"Make room, then resume the run; what was saved before is whole"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{folder} cannot be written ({error.strerror}); change its permissions or choose another folder"
    return f"{error.strerror or error} at {error.filename or folder}"


@contextlib.contextmanager
def writing(what: Path, folder: Path) -> Iterator[None]:
    """Raises StorageError, saying why, where its body cannot write `what`, which lies in `folder`."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {what}: {reason(error, folder, 0)}") from error


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def size(count: int) -> str:
    """A number of bytes for a person: "512 B", "1.5 MiB"."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
