"""What is imported when it is first used: the public names of a package, and packages that only some need."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`; `homes` has the module of each name, from the package on."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return get, lambda: sorted(homes)


def optional(package: str, extra: str) -> Any:
    """A package that only some need. Raises ImportError, with the command that installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"this takes {package}: pip install 'polytask[{extra}]', or -e '.[{extra}]' in the checkout", name=package
        ) from error
