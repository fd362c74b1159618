"""What all sections of a report share: the methods, their final numbers, and what was published for their tasks."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polytask.evaluation import text
from polytask.report.data import read_run
from polytask.report.methods import Method, group_runs
from polytask.report.published import Published, published_for
from polytask.report.results import MethodResult, common_ground, final_result
from polytask.runs.records import Schema, TaskFacts


@dataclasses.dataclass(frozen=True)
class Material:
    """`step` and `shared` are the last evaluation and the scored tasks that all methods have in common."""

    methods: tuple[Method, ...]
    published: tuple[Published | None, ...]
    results: tuple[MethodResult | None, ...]
    names: dict[str, str]
    step: int | None
    shared: tuple[str, ...]

    @property
    def specs(self) -> tuple[TaskFacts, ...]:
        return tuple({s.name: s for m in self.methods for s in m.specs}.values())

    @property
    def last_step(self) -> int:
        """How far the time axes go: the furthest step of anything measured, at least 1."""
        ends = [int(m.steps[-1]) for m in self.methods if m.steps.size]
        ends += [int(r.metrics.steps[-1]) for m in self.methods for r in m.runs if r.metrics.steps.size]
        return max([1, *ends])

    @property
    def last_evaluation(self) -> int:
        return max([1, *(int(m.steps[-1]) for m in self.methods if m.steps.size)])

    @property
    def schema(self) -> Schema:
        """How the runs read: as the first does."""
        return self.methods[0].runs[0].schema

    def published_key(self, label: str) -> str:
        """What marks a published result's curves on the page."""
        labels = dict.fromkeys(p.label for p in (*self.references(), *self.published) if p)
        return f"published{[*labels].index(label)}"

    def references(self) -> list[Published]:
        """Each published result once, for the tasks that all methods share."""
        specs = [s for s in self.specs if s.name in self.shared]
        agents = dict.fromkeys(m.agents for m in self.methods)
        return [p for a in agents if (p := published_for(specs, a))]


def score_word(specs: Sequence[TaskFacts]) -> str:
    """What the score of these tasks is, such as "success" or "accuracy"; "score" where they differ."""
    judged = {spec.judged for spec in specs}
    return judged.pop() if len(judged) == 1 else "score"


def gather(runs: Sequence[Path]) -> Material:
    """Reads and groups run folders. Raises ValueError if none are given or one is not a run folder."""
    if not runs:
        raise ValueError("no run to report on; give one or more run folders")
    methods = group_runs([read_run(Path(path)) for path in dict.fromkeys(map(Path, runs))])
    found = [published_for(m.specs, m.agents) for m in methods]
    full = list(dict.fromkeys(n for m in methods for n in m.names))
    evaluated = [m for m in methods if m.steps.size]
    step, shared = common_ground(evaluated) if evaluated else (None, [])
    return Material(
        methods=tuple(methods),
        published=tuple(found),
        results=tuple(final_result(m, p) for m, p in zip(methods, found, strict=True)),
        names=dict(zip(full, text.short_names(full), strict=True)),
        step=step,
        shared=tuple(shared),
    )


def shared_scores(method: Method, tasks: Sequence[str]) -> np.ndarray:
    """The method's scores (seeds, tasks, evaluations) on some of its tasks."""
    return method.scores[:, [method.names.index(n) for n in tasks]]
