"""One task more for a run that is trained already, in place: `polytask extend`."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from polytask import random
from polytask.agents.factory import make_agent
from polytask.online.session import Session
from polytask.online.trainer import facts_of
from polytask.online.transferring import joined
from polytask.policies.axes import task_axes
from polytask.runs import checkpoint, provenance, storage
from polytask.runs.folder import CONFIG, RunFolder
from polytask.stepping import make_stepper
from polytask.tasks.registry import resolve
from polytask.tasks.spec import TaskSet
from polytask.training import kinds
from polytask.training.config import content_of
from polytask.training.warm_start import taken
from polytask.transfer import source as sources


def extend(run: Path, names: Sequence[str]) -> str:
    """Adds tasks to a run of a BRC agent, behind those that it has; returns what to show.

    A checkpoint takes the place of the newest one: everything of the old tasks, optimisers and replay included, has its
    bits, and the new tasks have fresh rows, bounds of returns and an empty replay. New episodes begin.

    Raises RunFolderError for a folder that holds no run or is trained into, CheckpointError where there is nothing to
    extend, and ValueError for a task that is there already or does not fit the networks.
    """
    with contextlib.ExitStack() as stack:
        source = sources.read(run)
        config, old = source.config, source.names
        new = resolve(tuple(names), config.task)
        there = [name for name in new.names if name in old]
        if there:
            raise ValueError(f"'{there[0]}' is a task of {run} already: go on with polytask resume {run}")
        sources.check_agent(source, dataclasses.replace(config, transfer="fit", keep=False, start_from=""))
        sources.check_sizes(source, new.specs, more=True)
        folder = stack.enter_context(RunFolder(run))
        content = kinds.completed(folder.read_config())
        folder.claim(content, kinds.resumable(config), kinds.completed)
        found = checkpoint.find(run)
        layout = source.layout if "layout" in content else ()
        tasks = TaskSet((*source.specs, *new.specs), layout)
        came = {**joined(config, tasks, run), **dict.fromkeys(new.names, found.step)}
        more = dataclasses.replace(config, tasks=(*config.tasks, *names))
        more.check_horizon(tasks)
        if found.counters.get("tasks") != list(tasks.names):  # else a kill came before the configuration
            stepper = make_stepper(tasks, config.engine, goal_seed=random.integer(config.seed, "goals"))
            stack.callback(stepper.close)
            _save(Session(more, tasks, make_agent(config.agent, tasks), stepper, run), found, source)
        facts = facts_of(tasks, came)
        storage.replace(run / CONFIG, json.dumps(content_of("online", more, facts), indent=2).encode())
        provenance.record(run)
        provenance.note(run, {"extended": came})
    return f"{', '.join(new.names)} from step {found.step:,} on, beside {len(old)} tasks that are as they were"


def _save(session: Session, found: checkpoint.Checkpoint, source: sources.Source) -> None:
    """The checkpoint of the extended run, in the place of the one that was found."""
    fresh = session.fresh(found)
    before, here = (
        task_axes(session.state, list(map(vars, specs)), whole=True) for specs in (source.specs, session.tasks.specs)
    )
    learned, report = taken(fresh, checkpoint.read_arrays(found.path), before, here)
    stuck = [name for name in report.fresh if name.startswith(("agent/", "average/"))]
    if stuck:
        raise ValueError(
            f"{source.path} keeps '{stuck[0]}', which whose size the number of tasks decides, and which cannot grow: "
            f"train another run with --from {source.path} --keep"
        )
    session.grow(found, learned)
    saved = session.saved()
    counters = {**saved.counters, "timing": found.counters["timing"], "tasks": list(session.tasks.names)}
    checkpoint.save(session.run, session.step, saved.arrays, counters, saved.segments)
