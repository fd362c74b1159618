"""The only loop that trains: runs of any kind, from their folders to their end."""

import contextlib
import dataclasses
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from polytask import hosts
from polytask.runs import checkpoint, provenance
from polytask.runs.affinity_log import AffinityLog, reopen
from polytask.runs.folder import AFFINITY, RunFolder
from polytask.runs.loggers import Loggers, make_loggers
from polytask.runs.memory import peak_memory
from polytask.runs.progress import Progress
from polytask.runs.records import mean_score
from polytask.runs.stopping import stop_signal
from polytask.training import kinds, warm_start
from polytask.training.config import RunConfig, content_of
from polytask.training.trainer import Diverged, Trainer

OnEvaluation = Callable[[Path, Mapping[str, Any]], object]
"""Called with the folder of a run and each new line of its evaluations.jsonl; if it returns True, training stops as
after Ctrl-C: with checkpoints, to be gone on with."""


def run(trainer: Trainer, runs: Mapping[int, Path], on_evaluation: OnEvaluation | None = None) -> bool:
    """Trains in a folder for each seed (`runs`: seed to folder), going on from their newest intact checkpoints.

    Returns whether the training ended; False after Ctrl-C, or where `on_evaluation` stopped it, with checkpoints saved.
    Raises RunFolderError for a folder that holds another run, CheckpointError, StorageError where the seeds share no
    checkpoint, Diverged where something is not finite (nothing of it is saved), and what the trainer raises.
    """
    config, paths = trainer.config, list(runs.values())
    kind = kinds.kind_for(config)
    several = len(runs) > 1
    with contextlib.ExitStack() as stack:
        stack.callback(trainer.close)
        folders, contents, warnings = [], [], []
        for (seed, path), facts in zip(runs.items(), trainer.facts, strict=True):
            folder = stack.enter_context(RunFolder(path))
            contents.append(content_of(kind.name, dataclasses.replace(config, seed=seed), facts))
            folder.claim(contents[-1], kinds.may_change(config), kinds.completed)
            warnings += [f"seed {seed}: {text}" if several else text for text in provenance.record(path)]
            folders.append(folder)
        newest = [_newest(path, config, warnings.append) for path in paths]
        found = [point for point in checkpoint.common(paths, newest) if point]
        step = found[0].step if found else 0
        hosts.same("the step to go on from", step)
        progress = stack.enter_context(Progress(config.steps, step))
        for text in warnings:
            progress.message(f"warning: {text}")
        trainer.start(found or None, progress.message)
        if found:
            progress.message(f"going on from step {step:,}")
        elif config.warm:
            for text in warm_start.begin(trainer, Path(config.start_from), paths):
                progress.message(text)
        for folder in folders:
            folder.truncate_jsonl(step if found else -1)
            reopen(folder.path)
        loggers = [
            stack.enter_context(make_loggers(path, content, config.tensorboard, config.wandb, step if found else None))
            for path, content in zip(paths, contents, strict=True)
        ]
        return _Loop(trainer, tuple(runs), folders, loggers, progress, on_evaluation).run(stack)


class _Loop:
    """Steps, and what happens between them."""

    def __init__(
        self,
        trainer: Trainer,
        seeds: Sequence[int],
        folders: Sequence[RunFolder],
        loggers: Sequence[Loggers],
        progress: Progress,
        on_evaluation: OnEvaluation | None,
    ) -> None:
        self.trainer, self.config, self.folders, self.loggers = trainer, trainer.config, folders, loggers
        self.seeds, self.progress, self.on_evaluation, self.told = seeds, progress, on_evaluation, False
        self.evaluations: list[list[dict[str, Any]]] = [folder.read_evaluations() for folder in folders]
        self.started = self.logged = self.saved = self.looked = trainer.step
        self.mark = (time.monotonic(), trainer.step)
        self.shown, self.rate = self.mark[0], 0.0

    def run(self, stack: contextlib.ExitStack) -> bool:
        """Trains to the end; False if asked to stop before. A checkpoint is saved in either case."""
        trainer = self.trainer
        self.signalled = stack.enter_context(stop_signal(self.progress.message))
        try:
            while not self.ended() and not hosts.any_of(self.stop()):
                self.looked, until = trainer.step, self.next_look()
                if until % self.config.stride and self.saved != trainer.step:
                    self.save()  # a longer run goes on from here
                trainer.advance(until, self.tick)
                self.look()
        except trainer.saves_on as error:
            self.save()
            go_on = f"polytask resume {shlex.quote(str(self.folders[0].path))}"
            again = go_on if len(self.folders) == 1 else "the same command"
            error.add_note(f"A checkpoint of the step before is saved. Once the cause is mended: {again}")
            raise
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            if not hosts.lost(error):
                raise
            raise hosts.HostLostError(
                f"a process of this training was lost at step {trainer.step:,}, or cannot be reached; the checkpoint "
                f"of step {self.saved:,} is whole. Start all processes again, with the same command, to go on from it"
            ) from error
        if self.ended():
            self.finish()
        if self.saved != trainer.step:
            self.save()
        if self.ended():
            self.note_early_end()
            trainer.conclude()
        return self.ended()

    def stop(self) -> bool:
        """Whether a signal, or who was called after an evaluation, asks to stop."""
        return self.told or self.signalled()

    def ended(self) -> bool:
        """Whether all steps are done, or training has ended before."""
        return self.trainer.step >= self.config.steps or self.trainer.ended() or self.out_of_patience()

    def out_of_patience(self) -> bool:
        """Whether no seed's mean score has become better in as many evaluations as `patience` says."""
        patience = 0 if self.trainer.selects else self.config.patience
        return bool(patience) and all(_since_best(records) >= patience for records in self.evaluations)

    def next_look(self) -> int:
        """The step at which something is due next."""
        step, config = self.trainer.step, self.config
        periods = (config.log_every, config.eval_every, config.checkpoint_every)
        due = min(step + every - step % every for every in periods if every)
        return min(math.ceil(due / config.stride) * config.stride, config.steps)

    def due(self, every: int) -> bool:
        """Whether a multiple of `every` has been passed since the last look."""
        return bool(every) and self.trainer.step // every > self.looked // every

    def tick(self, step: int) -> bool:
        """Lets the display move about once a second; returns whether to stop."""
        now = time.monotonic()
        if now - max(self.shown, self.mark[0]) >= 1:
            self.shown = now
            self.rate = (step - self.mark[1]) * self.trainer.rate_of / (now - self.mark[0])
            self.progress.update(step, self.rate)
        return self.stop() and not hosts.several()  # several have to agree, after the next look

    def look(self) -> None:
        """Logs, evaluates and saves where it is due."""
        if self.due(self.config.log_every):
            self.log()
        if self.due(self.config.eval_every):
            self.evaluate()
        if self.due(self.config.checkpoint_every):
            self.save()

    def finish(self) -> None:
        """What every run ends with, whatever its length: a line of metrics, and an evaluation unless there are none."""
        step, config = self.trainer.step, self.config
        if step > self.started and step % config.log_every and self.logged < step:
            self.log()
        if step > self.started and config.eval_every and step % config.eval_every:
            self.evaluate()

    def log(self) -> None:
        """Writes a line of metrics of each seed, and what was measured of affinity; refreshes the display."""
        trainer, now = self.trainer, time.monotonic()
        self.rate = (trainer.step - self.mark[1]) * trainer.rate_of / max(now - self.mark[0], 1e-9)
        self.mark = (now, trainer.step)
        for record, seconds, loggers in zip(trainer.metrics(), trainer.seconds, self.loggers, strict=True):
            if record is not None:
                common = {"step": trainer.step, "seconds": sum(seconds.values()), "steps_per_second": self.rate}
                loggers.metrics({**common, **record, "peak_memory_bytes": peak_memory(), "time": dict(seconds)})
        for folder, parts in zip(self.folders, trainer.affinity(), strict=False):
            if parts:
                with AffinityLog(folder.path) as log:
                    for part, averages in parts.items():
                        log.period((self.logged, trainer.step), averages, trainer.tasks, part)
        self.logged = trainer.step
        self.progress.update(trainer.step, self.rate, trainer.rows())

    def evaluate(self) -> None:
        """Evaluates each seed; training does not notice."""
        trainer, begin = self.trainer, time.monotonic()
        found = trainer.evaluate()
        took = (time.monotonic() - begin) / len(self.folders)
        for i, record in enumerate(found):
            trainer.seconds[i]["evaluate"] = trainer.seconds[i].get("evaluate", 0.0) + took
            if record is not None:
                line = {"step": trainer.step, "seconds": sum(trainer.seconds[i].values()), **record}
                self.loggers[i].evaluation(line)
                self.evaluations[i].append(line)
                if self.on_evaluation is not None:
                    self.told |= self.on_evaluation(self.folders[i].path, line) is True
        self.progress.update(trainer.step, self.rate, trainer.rows())
        self.mark = (time.monotonic(), trainer.step)

    def save(self) -> None:
        """Writes a checkpoint of each seed. Raises Diverged before anything that is not finite could reach one."""
        trainer = self.trainer
        faults = [f"seed {seed}: {text}" if len(self.folders) > 1 else text for seed, text in self.faults()]
        if faults:
            raise Diverged(faults[0])
        begin = time.monotonic()
        for folder, seconds, saved in zip(self.folders, trainer.seconds, trainer.saved(), strict=True):
            if hosts.several():
                hosts.same("what they have learned", checkpoint.fingerprint(saved.arrays))
            seconds["checkpoint"] = seconds.get("checkpoint", 0.0) + time.monotonic() - begin
            counters = {**saved.counters, "timing": dict(seconds)}
            checkpoint.save(folder.path, trainer.step, saved.arrays, counters, saved.segments)
            begin = time.monotonic()
        self.saved = trainer.step

    def faults(self) -> list[tuple[int, str]]:
        """The seeds in which something is not finite, and what."""
        found = zip(self.seeds, self.trainer.faults(), strict=True)
        return [(seed, text) for seed, text in found if text is not None]

    def note_early_end(self) -> None:
        """The figures of a seed that ended early hold to the last step, since what was chosen stays chosen."""
        steps = self.config.steps
        if not (self.trainer.selects or self.out_of_patience()):
            return
        for folder, loggers, records in zip(self.folders, self.loggers, self.evaluations, strict=True):
            if not records:
                continue
            last, step = records[-1], records[-1]["step"]
            best = last.get("best_step")
            if best and best < step and (folder.path / AFFINITY).exists():
                with AffinityLog(folder.path) as log:
                    log.stopped_early(step, best)
            if step >= steps:
                continue
            loggers.evaluation({**last, "step": steps, "stopped_at": step})
            since = best or records[_best(records)]["step"]
            self.progress.message(f"no better evaluation since step {since:,}: stopped at {step:,}")


def _newest(run: Path, config: RunConfig, warn: Callable[[str], object]) -> checkpoint.Checkpoint | None:
    """The checkpoint to go on from, None to begin anew.

    A run that ended between two multiples of its stride was looked at once more than a longer one is at these steps, so
    the longer one goes on from the multiple before: it comes to what it would have come to if asked for at once.
    """
    found = checkpoint.latest(run, warn)
    more = found.step % config.stride if found else 0
    if found is None or not more or found.step >= config.steps:
        return found
    if found.step == more:
        return None
    try:
        return checkpoint.inspect(checkpoint.place(run, found.step - more))
    except checkpoint.CheckpointError as error:
        warn(f"going on after an evaluation that a longer run would not make, since that before is damaged: {error}")
        return found


def _best(records: Sequence[dict[str, Any]]) -> int:
    """The index of the first evaluation with the best mean score."""
    values = [-math.inf if math.isnan(value := mean_score(record)) else value for record in records]
    return values.index(max(values))


def _since_best(records: Sequence[dict[str, Any]]) -> int:
    """How many evaluations there were since the best."""
    return len(records) - 1 - _best(records) if records else 0
