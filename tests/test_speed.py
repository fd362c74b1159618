"""`polytask bench`: what it counts, and what it shows."""

import json

import jax
import jax.extend.core
import pytest
from jax.interpreters import partial_eval

from polytask import random, speed
from polytask.agents.config import BRCConfig, DQNConfig
from polytask.agents.factory import make_agent
from polytask.speed import Result
from polytask.tasks.registry import resolve
from tests.small import POINT, command

MT10 = resolve(["metaworld/mt10"])


def products(jaxpr) -> int:
    """Floating-point operations of all matrix products in a jaxpr."""
    total = 0
    for equation in jaxpr.eqns:
        repeats = equation.params.get("length", 1)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            total += repeats * products(inner)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = equation.invars[0].aval, equation.outvars[0].aval
            size = 2
            for axis in contracted:
                size *= left.shape[axis]
            total += size * out.size
    return total


def counted(config, tasks) -> float:
    """Floating-point operations of a gradient step's matrix products, without what XLA drops."""
    agent = make_agent(config, tasks)
    key = random.key(0, "any")
    state = jax.eval_shape(agent.init, key)
    batches = jax.eval_shape(lambda: speed.random_batches(config, tasks))
    bound = jax.ShapeDtypeStruct((len(tasks),), "float32")
    whole = jax.make_jaxpr(agent._update)(state, batches, bound, key).jaxpr
    return products(partial_eval.dce_jaxpr(whole, [True] * len(whole.outvars))[0]) / config.updates_per_step


@pytest.mark.parametrize("config", [BRCConfig(), BRCConfig(critic_width=512, batch_size=64, bins=51, actor_width=128)])
def test_the_multiplications_counted_are_those_of_the_update(config):
    assert counted(config, MT10) == pytest.approx(1e9 * speed.multiplications(config, MT10), rel=0.02)


def test_the_multiplications_of_frames_are_those_of_the_update():
    config, tasks = DQNConfig(batch_size=4, updates_per_step=1), resolve(["atari/pong", "atari/breakout"])
    assert counted(config, tasks) == pytest.approx(1e9 * speed.frame_multiplications(config, tasks), rel=0.01)


def test_the_table_fits_and_the_record_says_where_it_comes_from(monkeypatch, tmp_path):
    results = [
        Result("matrix product, float32", "GFLOP/s", 498.2, 498.2, "the yardstick"),
        Result("update, width 256, batch 256", "ms", 9.13, 8.71, "at best 38% of the peak"),
        Result("simulators, random actions", "steps/s", 13412.3, 13520.9, "all tasks"),
        Result("command to first update", "s", 11.3, 11.3, "nothing compiled"),
    ]
    monkeypatch.setattr(speed, "measure", lambda: iter(results))
    monkeypatch.setenv("COLUMNS", "80")
    file = tmp_path / "new" / "history.jsonl"
    for count in (1, 2):
        code, out, err = command("bench", "--output", str(file))
        assert (code, err) == (0, "")
        assert len(file.read_text().splitlines()) == count
    table = {result.name: line for line in out.splitlines() for result in results if line.startswith(result.name)}
    assert len(table) == len(results)
    assert all(len(table[result.name].rstrip()) <= 80 and result.remark in table[result.name] for result in results)
    assert table[results[1].name].split()[5:8] == ["9.1", "8.7", "ms"]
    monkeypatch.setattr(speed, "measure", lambda: pytest.fail("measured what cannot be kept"))
    code, _, err = command("bench", "--output", str(file / "below" / "a-file.jsonl"))
    assert code == 1
    assert "cannot write" in err
    record = json.loads(file.read_text().splitlines()[0])
    assert record["results"][1]["best"] == 8.71
    assert record["packages"]["jax"] == jax.__version__
    assert {"git", "cpu", "cores", "load", "started"} <= record.keys()


@pytest.mark.slow
def test_the_start_is_timed_stage_by_stage_and_the_cache_helps(tmp_path):
    cold, warm = (speed.start_stages(POINT, tmp_path) for _ in range(2))
    assert list(cold) == ["python", "imports", "simulators", "agent", "first step", "first update"]
    clocks = [clock for clock, _ in cold.values()]
    assert clocks == sorted(clocks)
    assert warm["first update"][1] < cold["first update"][1]


@pytest.mark.slow
def test_stepping_and_training_are_timed():
    tasks = resolve([POINT])
    assert speed.stepping_rate(tasks, 0.1).best > 100
    assert speed.training_rate(tasks, 0.1).best > 1
