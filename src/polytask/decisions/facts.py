"""What the folder of a training for decisions holds of its configuration and data."""

import dataclasses
from typing import Any

from polytask.decisions.case import Case, steps_of_update
from polytask.decisions.config import KIND, DecisionConfig
from polytask.decisions.training import Given
from polytask.runtime.provenance import fingerprint


def task_name(config: DecisionConfig) -> str:
    """The problem's name as tables and charts show it."""
    return config.problem.removeprefix("problems/").rpartition(":")[2] or "decision"


def to_json(config: DecisionConfig, case: Case, given: Given) -> dict[str, Any]:
    """What config.json holds: the configuration, under "specs" the decision's facts, under "drawn" the seed's data."""
    spec = {
        "name": task_name(config),
        "kind": KIND,
        "outputs": case.outputs,
        "rows": given.train.y.shape[1],
        "steps_of_update": steps_of_update(case, config),
    }
    drawn = {
        "train": len(given.train.y),
        "test": len(given.test.y),
        "sha256": fingerprint((given.train, given.test)),
    }
    return {**dataclasses.asdict(config), "specs": [spec], "drawn": drawn}


def complete(content: dict[str, Any]) -> dict[str, Any]:
    """What `to_json` gave an older version, with the fields that came to be since, at their defaults."""
    return {**dataclasses.asdict(DecisionConfig()), **content}


def from_json(content: dict[str, Any]) -> DecisionConfig:
    """The configuration of a run. Raises ValueError naming fields that this version does not know."""
    given = {name: value for name, value in content.items() if name not in ("specs", "drawn")}
    unknown = given.keys() - {field.name for field in dataclasses.fields(DecisionConfig)}
    if unknown:
        raise ValueError(f"config.json has fields that this version does not know: {', '.join(sorted(unknown))}")
    return DecisionConfig(**given)
