"""Where a run's numbers go: JSON lines always, TensorBoard by default, Weights & Biases when asked."""

import importlib
import json
import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polytask.runs import storage
from polytask.runs.folder import EVALUATIONS, METRICS


@runtime_checkable
class Logger(Protocol):
    """What takes the records of a run; both kinds have a "step" (environment steps per task) and may hold nulls."""

    def metrics(self, record: Mapping[str, Any]) -> None:
        """Takes one record of training, a line of metrics.jsonl."""
        ...

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Takes one record of evaluation, a line of evaluations.jsonl."""
        ...

    def close(self) -> None:
        """Writes out what is pending."""
        ...


class Loggers:
    """Hands every record to several loggers, in order; a context manager that closes them."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = tuple(loggers)

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def metrics(self, record: Mapping[str, Any]) -> None:
        for logger in self._loggers:
            logger.metrics(record)

    def evaluation(self, record: Mapping[str, Any]) -> None:
        for logger in self._loggers:
            logger.evaluation(record)

    def close(self) -> None:
        for logger in self._loggers:
            logger.close()


class JsonlLogger:
    """Appends to metrics.jsonl and evaluations.jsonl of a run folder; what was logged survives a kill.

    Raises StorageError, saying what to do, if a line cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self._metrics, self._evaluations = ((run / name).open("ab", buffering=0) for name in (METRICS, EVALUATIONS))

    def metrics(self, record: Mapping[str, Any]) -> None:
        append(self._metrics, record)

    def evaluation(self, record: Mapping[str, Any]) -> None:
        append(self._evaluations, record)

    def close(self) -> None:
        self._metrics.close()
        self._evaluations.close()


def append(file: FileIO, record: Mapping[str, Any]) -> None:
    """Appends a record to a file opened without a buffer, as one line of JSON; raises StorageError."""
    line = json.dumps(plain(record), allow_nan=False).encode() + b"\n"
    try:
        while line:  # an unbuffered write may take only a part
            line = line[file.write(line) :]
    except OSError as error:
        why = storage.reason(error, Path(file.name).parent, len(line))
        raise storage.StorageError(f"cannot write {file.name}: {why}") from error


class TensorBoardLogger:
    """Writes scalars, named as `scalars` says, to the `tensorboard` folder of a run.

    `resumed_at` is the step of the checkpoint that the run goes on from: TensorBoard then hides what came after it.
    """

    def __init__(self, run: Path, resumed_at: int | None = None) -> None:
        from tensorboardX import SummaryWriter

        purge = 0 if resumed_at is None else resumed_at + 1  # 0: also what a run left that died before a checkpoint
        # Its thread writes on its own; by default a kill would take two minutes of records.
        # The suffix keeps apart the files of two sessions begun within one second, which its names do not.
        self._writer = SummaryWriter(
            str(run / "tensorboard"), purge_step=purge, flush_secs=10, filename_suffix=f".from-{purge}"
        )

    def metrics(self, record: Mapping[str, Any]) -> None:
        self._write(record, "")

    def evaluation(self, record: Mapping[str, Any]) -> None:
        self._write(record, "evaluation/")

    def close(self) -> None:
        self._writer.close()

    def _write(self, record: Mapping[str, Any], prefix: str) -> None:
        for name, value in scalars(record, prefix):
            self._writer.add_scalar(name, value, record["step"])


class WandbLogger:
    """Sends scalars to Weights & Biases, a resumed run to the same page there (its id is kept in `wandb_id`).

    Raises ImportError with the command that installs it.
    """

    def __init__(self, run: Path, config: Mapping[str, Any], project: str = "polytask") -> None:
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise ImportError(
                "Weights & Biases is not installed; pip install -e '.[wandb]' in the checkout, or train without --wandb"
            ) from error
        file = run / "wandb_id"
        if not file.exists():
            file.write_text(secrets.token_hex(8))
        self._run = wandb.init(
            project=project,
            name=run.resolve().name,
            id=file.read_text(),
            resume="allow",
            dir=str(run),
            config={**config},
        )
        # W&B's own counter may not go back, as a resumed run does; so plots run over our steps.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def metrics(self, record: Mapping[str, Any]) -> None:
        self._run.log({"step": record["step"], **dict(scalars(record))})

    def evaluation(self, record: Mapping[str, Any]) -> None:
        self._run.log({"step": record["step"], **dict(scalars(record, "evaluation/"))})

    def close(self) -> None:
        self._run.finish()


def make_loggers(
    run: Path, config: Mapping[str, Any], tensorboard: bool, wandb: bool, resumed_at: int | None = None
) -> Loggers:
    """The loggers of a run: JSON lines always, the others as asked for; `resumed_at` as in `TensorBoardLogger`."""
    loggers: list[Logger] = [WandbLogger(run, config)] if wandb else []  # first, since it may not be installed
    if tensorboard:
        loggers.append(TensorBoardLogger(run, resumed_at))
    return Loggers([*loggers, JsonlLogger(run)])


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: NumPy and JAX values as Python's, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return plain(np.asarray(value).tolist())


def scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a record by flat names, "task/<metric>/<task>" and "time/simulate"; a list gives its mean.

    Nulls, NaN, texts, embeddings and routing are left out, and "step", which is the axis.
    """
    for key, value in plain(record).items():
        if key in ("step", "embedding", "routing") or value is None or isinstance(value, str):
            continue
        if isinstance(value, dict):
            yield from scalars(value, f"{prefix}{key}/")
        elif isinstance(value, list):
            known = [item for item in value if isinstance(item, int | float)]
            if known:
                yield f"{prefix}{key}", sum(known) / len(known)
        else:
            yield f"{prefix}{key}", float(value)
