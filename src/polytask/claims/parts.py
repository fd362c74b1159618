"""Parts of a long claim, kept in its output folder until it is whole: an interrupted run goes on where it was."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Parts:
    """Results by name below `output`/.NAME-parts; one that was made with other settings is made again."""

    def __init__(self, output: Path, claim: str) -> None:
        self._folder = output / f".{claim}-parts"

    def get(
        self, name: str, settings: Mapping[str, Any], make: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """The arrays that `make` gives, from the folder if they are there. Raises ValueError if one is not finite."""
        file = self._folder / f"{name}.npz"
        wanted = json.dumps(dict(settings), sort_keys=True)
        if file.exists():
            with np.load(file) as kept:
                if str(kept["settings"]) == wanted:
                    return {key: kept[key] for key in kept.files if key != "settings"}
        made = {key: np.asarray(value) for key, value in make().items()}
        for key, value in made.items():
            if not np.isfinite(value).all():
                raise ValueError(f"{name}: {key} is not finite; nothing of it is kept")
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{name}.{os.getpid()}.npz"
        everything: dict[str, Any] = {**made, "settings": np.array(wanted)}
        np.savez(temporary, **everything)
        temporary.replace(file)
        return made

    def clear(self) -> None:
        """Forgets everything: the claim is whole, and another run of it starts afresh."""
        shutil.rmtree(self._folder, ignore_errors=True)
