"""The source run of a transfer of agents: what it says of itself, and whether target tasks can begin from it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polytask.runs.folder import GROUPED, RunFolder
from polytask.tasks.spec import TaskSet, TaskSpec, spec_from
from polytask.training import kinds

RANK = 8
"""Of the changes that `--transfer adapters` trains, unless another one is asked for."""
# What decides the networks and what their inputs and outputs mean.
NETWORKS = (
    *("trunk", "critic_width", "critic_depth", "actor_width", "actor_depth", "ensemble", "bins", "v_max"),
    *("conditioning", "embedding_dim", "embedding_norm", "normalise_observations"),
    *("encoder", "encoder_width", "encoder_multiplier", "film"),
)


class Source(NamedTuple):
    """A source run, which is only ever read.

    - `specs`: the tasks that it learned; `layout`: those to whose sizes its networks are padded, which are others where
      it was transferred itself.
    """

    path: Path
    config: Any
    specs: tuple[TaskSpec, ...]
    layout: tuple[TaskSpec, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tasks that it learned."""
        return tuple(spec.name for spec in self.specs)


def specs_of(facts: Sequence[Mapping[str, Any]]) -> tuple[TaskSpec, ...]:
    """Tasks as config.json holds them."""
    return tuple(spec_from(one) for one in facts)


def read(path: Path) -> Source:
    """The run in a folder, or that of a checkpoint folder, if it is one of a BRC agent.

    Raises RunFolderError where there is none, and ValueError for a run of another kind, agent or version.
    """
    run = path.parent.parent if path.parent.name == "checkpoints" else path
    content = RunFolder(run).read_config()
    kind = content.get("kind", "online")
    if kind != "online":
        raise ValueError(
            f"{run} is a run of the kind {kind}, and --transfer is of agents in simulators: take --transfer fit, which "
            f"copies what fits by name and shape"
        )
    if GROUPED in content:
        raise ValueError(f"{run} joins the runs of groups: name that of one group, such as {run / 'group1'}")
    try:
        config = kinds.config_of(content)
    except ValueError as error:
        raise ValueError(f"{run} was written by another version of polytask ({error}): take that version") from error
    if config.agent.kind != "brc":
        raise ValueError(f"{run} has an agent of the kind {config.agent.kind}, and --transfer is of brc alone")
    specs = specs_of(content["specs"])
    return Source(run, config, specs, specs_of(content.get("layout", ())) or specs)


def check(source: Source, config: Any, tasks: TaskSet) -> None:
    """Raises ValueError, with what to do instead, where the tasks of a run cannot begin from a source as asked.

    - `config`: of the run, with `transfer` and `keep`; `tasks`: its target tasks, and those of the source to be kept.
    """
    check_agent(source, config)
    known = [name for name in tasks.names if name in source.names]
    if config.keep:
        lost = [name for name in source.names if name not in known]
        if lost or len(known) == len(tasks):
            what = f"and {', '.join(lost[:3])} is not trained" if lost else "and no task is new"
            raise ValueError(f"--keep trains all tasks of {source.path} and new ones, {what}: name the new ones alone")
        if tasks.names[: len(known)] != source.names:
            raise ValueError(f"--keep takes the tasks of {source.path} first, in their order: name the new ones alone")
        if config.replay_capacity < source.config.replay_capacity:
            raise ValueError(f"--keep needs a --replay-capacity of at least {source.config.replay_capacity:,}, its own")
    elif known:
        raise ValueError(
            f"'{known[0]}' was learned by {source.path}: leave it out, or train old and new tasks together with --keep"
        )
    check_sizes(source, [spec for spec in tasks if spec.name not in known], more=len(tasks) > 1)


def check_agent(source: Source, config: Any) -> None:
    """Raises ValueError where the networks of a configuration are not the source's, or nothing of them would move."""
    agent, there, way = config.agent, source.config.agent, config.transfer
    if agent.kind != there.kind:
        raise ValueError(f"{source.path} has an agent of the kind {there.kind}: leave --agent.kind {agent.kind} out")
    for name in NETWORKS:
        here, before = getattr(agent, name), getattr(there, name)
        if here != before:
            flag = f"--agent.{name.replace('_', '-')}"
            raise ValueError(f"{flag} is {before} in {source.path}, and the networks are its: leave {flag} {here} out")
    if (agent.critic_loss == "squared-error") != (there.critic_loss == "squared-error"):
        raise ValueError(f"--agent.critic-loss is {there.critic_loss} in {source.path}: leave it out")
    if agent.conditioning.startswith("one-hot"):
        raise ValueError(
            f"the networks of {source.path} have an input for each of its tasks (--agent.conditioning "
            f"{agent.conditioning}), and so none for another: begin from a run with embeddings"
        )
    own = agent.conditioning == "multi-head" or (agent.conditioning == "embedding" and len(source.layout) > 1)
    if way == "similar" and (agent.conditioning != "embedding" or len(source.layout) == 1):
        raise ValueError(f"{source.path} has no embeddings of tasks to begin from: take --transfer full")
    if agent.moving == "embeddings" and not own:
        raise ValueError(
            f"{source.path} has no embeddings of tasks, so nothing would move: add --agent.moving heads, or take "
            f"--transfer adapters"
        )
    if way == "adapters" and there.adapter_rank:
        raise ValueError(f"{source.path} has adapters already: take --transfer full or frozen")
    if way != "adapters" and agent.adapter_rank != there.adapter_rank:
        raise ValueError(f"--agent.adapter-rank is {there.adapter_rank} in {source.path}: leave it out")
    wanted = {"frozen": ("embeddings", "heads"), "adapters": ("adapters",)}.get(way, ("all",))
    if way != "fit" and agent.moving not in wanted:
        raise ValueError(f"with --transfer {way} --agent.moving is {' or '.join(wanted)}, not {agent.moving}")


def check_sizes(source: Source, new: Sequence[TaskSpec], more: bool) -> None:
    """Raises ValueError where a new task does not fit into the source's networks; `more`: it is not alone there."""
    if more and len(source.layout) == 1 and source.config.agent.conditioning == "embedding":
        raise ValueError(
            f"{source.path} learned one task, without embeddings to tell several apart: begin from a run of several "
            f"tasks, or transfer to one task"
        )
    before = TaskSet(source.layout)
    for spec in new:
        sizes = {"observation_dim": "observations", "action_dim": "action dimensions", "choices": "choices"}
        for size, what in sizes.items():
            here, most = getattr(spec, size), getattr(before, size)
            if here > most:
                raise ValueError(
                    f"'{spec.name}' has {here} {what}, and the networks of {source.path} are made for up to {most}: "
                    f"{_ELSE}"
                )
        both = TaskSet((dataclasses.replace(spec, name=""),), source.layout)
        if both.images != before.images:
            raise ValueError(f"'{spec.name}' has images of sizes that {source.path} has no encoder for: {_ELSE}")


_ELSE = "begin with --transfer fit, where what does not fit is fresh, or without --from"


def with_defaults(source: Source, way: str) -> dict[str, Any]:
    """The fields of a configuration that come from the source unless a person says otherwise: agent and task options.

    What moves is as the way of transfer asks.
    """
    there = source.config.agent
    moving = {"frozen": "embeddings", "adapters": "adapters"}.get(way, "all")
    rank = there.adapter_rank or RANK if way == "adapters" else there.adapter_rank
    alone = {"actor_combiner": "none"} if moving == "embeddings" else {}
    agent = dataclasses.replace(there, moving=moving, adapter_rank=rank, **alone)
    if agent.relevance:
        agent = dataclasses.replace(agent, relevance=(), critic_loss="cross-entropy")
    return {"agent": agent, "task": source.config.task, "transfer": way}
