"""How tasks are routed: from an agent's trunk to a line of evaluations, and from that to the report."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents.factory import make_agent
from polytask.report import write_report
from polytask.report.data import read_run
from polytask.report.routing import likeness
from tests.agents.cases import SAC, TASKS
from tests.report.conftest import make_run, metaworld

NAMES = [spec.name for spec in metaworld()[:3]]


def routed(folder, *layers):
    """A run whose last evaluation has these weights; its first has others."""
    run = make_run(folder, metaworld()[:3], evaluations=2)
    file = run / "evaluations.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line, scale in zip(lines, (0.5, 1), strict=True):
        tasks = zip(*(np.multiply(layer, scale).tolist() for layer in layers), strict=True)
        line["routing"] = dict(zip(NAMES, map(list, tasks), strict=True))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


SHARES = (
    np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.3, 0.7]], [[0.1, 0.9], [0.8, 0.2]]]),
    np.array([[[0.5, 0.5]], [[0.5, 0.5]], [[0.0, 1.0]]]),
)


def test_an_agent_gives_each_task_s_mean_routes():
    config = dataclasses.replace(
        SAC, trunk="soft-modules:base_width=6:routing_width=4", conditioning="one-hot", depth=2
    )
    agent = make_agent(config, TASKS)
    state = jax.jit(agent.init)(jax.random.key(0))
    assert agent.has_routes(state)
    seen = np.random.default_rng(0).normal(size=(2, 3, TASKS.observation_dim)).astype(np.float32)
    routes = agent.routes(state, seen)
    assert [route.shape for route in routes] == [(2, 2, 2), (2, 1, 2)]
    each = jax.jit(lambda seen, task: state.actor.trunk.routes(seen, jnp.eye(2)[jnp.full(3, task)]))
    for task in range(2):
        alone = each(seen[task], task)
        for route, own in zip(routes, alone, strict=True):
            np.testing.assert_allclose(route[task], own.mean(axis=0), rtol=1e-5)
    plain = make_agent(dataclasses.replace(SAC, trunk="film", conditioning="one-hot"), TASKS)
    assert not plain.has_routes(jax.eval_shape(lambda: plain._algorithm.init(plain.config, TASKS, jax.random.key(0))))


def test_likeness_is_of_all_layers_together():
    alike = likeness(SHARES)
    np.testing.assert_allclose(np.diag(alike), 1)
    assert alike[0, 1] > 0.98 > alike[0, 2]
    np.testing.assert_allclose(likeness((SHARES[1], 0 * SHARES[0]))[0], [1, 1, 0.5**0.5])


def test_the_last_routes_are_read_and_drawn(tmp_path):
    run = routed(tmp_path / "a", *SHARES)
    for found, layer in zip(read_run(run).evaluations.routing, SHARES, strict=True):
        np.testing.assert_array_equal(found, layer)
    html = write_report([run], tmp_path / "report.html").read_text()
    (section,) = re.findall(r'<section id="routing">.*?</section>', html, re.S)
    assert 'href="#routing"' in html
    assert section.count("<td") == 3 * 6 + 2 + 9
    assert "layer 1, into 2: part 1: 0.80" in section
    said = re.sub(r"<[^>]+>", "", section)
    assert "most push and reach (0.995), least pick-place and reach (0.447)" in said
    assert "differ in a weight by 0.80 at most" in said


def test_signed_weights_have_a_scale_of_their_own(tmp_path):
    run = routed(tmp_path / "a", np.array([[[2.0, -1.0]], [[-2.0, 1.0]], [[0.0, 0.0]]]))
    html = write_report([run], tmp_path / "report.html").read_text()
    assert "weight −2.00" in html
    assert 'class="first cold" style="--a:1.00"' in html


@pytest.mark.parametrize(
    "broken", [{}, {NAMES[0]: [[[1.0]]]}, {name: [[1.0]] for name in NAMES}, dict.fromkeys(NAMES, 3)]
)
def test_routes_that_do_not_fit_are_left_out(tmp_path, broken):
    run = make_run(tmp_path / "a", metaworld()[:3], evaluations=1)
    file = run / "evaluations.jsonl"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"routing": broken}) + "\n")
    assert read_run(run).evaluations.routing == ()
