"""What tasks do to each other, measured while a model is trained from data."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.affinity.record import pool
from polytask.combine import make_combiner
from polytask.runs.affinity_log import read_affinity
from polytask.runs.diff import diff
from polytask.supervised import OptimiserConfig, TrainConfig, TrunkConfig, train
from polytask.supervised.training import init, make_setup, nothing_seen, observe
from tests.small import command, killed_at
from tests.supervised.small import points

CONFIG = TrainConfig(
    problem="points",
    trunk=TrunkConfig(8, 1, dropout=0.1),
    optimiser=OptimiserConfig(learning_rate=0.3, weight_decay=0.01, decay_per_epoch=0.9),
    combine="pcgrad",
    batch_size=16,
    steps=60,
    eval_every=10,
    checkpoint_every=20,
    affinity_every=5,
    standardise=False,  # it is to overfit, and to stop early
    tensorboard=False,
)
PROBLEM = points(noise=3.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("affinity") / "run"
    assert train(CONFIG, PROBLEM, run)
    return run


@pytest.mark.slow
def test_training_is_the_same_bits_with_and_without(whole, tmp_path):
    train(dataclasses.replace(CONFIG, affinity_every=0), PROBLEM, tmp_path / "without")
    assert diff(whole, tmp_path / "without") == []
    assert not (tmp_path / "without" / "affinity.jsonl").exists()


@pytest.mark.slow
def test_periods_are_those_between_evaluations_and_the_early_stop_is_noted(whole):
    records, until, damaged = read_affinity(whole)
    names = {"transference", "cosine", "magnitude", "conflict", "curvature"}
    assert damaged == []
    assert [r.period for r in records if r.measure == "cosine"] == [(s, s + 10) for s in range(0, 60, 10)]
    assert {r.measure for r in records} == names
    assert {(r.part, r.tasks) for r in records} == {("model", PROBLEM.names)}
    assert max(r.count.max() for r in records) == 2
    best = json.loads((whole / "evaluations.jsonl").read_text().splitlines()[-1])["best_step"]
    assert 0 < best < 60, "it should overfit in this test"
    assert until == best
    assert pool(records, "transference", until=until).steps == (0, best)


@pytest.mark.slow
def test_stopped_and_resumed_records_what_the_run_that_was_left_alone_did(whole, tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert train(dataclasses.replace(CONFIG, steps=20), PROBLEM, run)
    with (run / "affinity.jsonl").open("a") as file:
        file.write('{"step": 20, "until": 10}\n')
    killed_at(monkeypatch, 60)
    with pytest.raises(ZeroDivisionError):  # killed while it saves step 60: back to step 40
        train(CONFIG, PROBLEM, run)
    monkeypatch.undo()
    assert train(CONFIG, PROBLEM, run)
    assert train(CONFIG, PROBLEM, run), "once more changes nothing"
    assert (run / "affinity.jsonl").read_text() == (whole / "affinity.jsonl").read_text()


@pytest.mark.slow
def test_a_measurement_is_the_papers_formula():
    """Z = 1 - L(after a step on one task's loss) / L(before), by hand: the same batch, dropout and optimiser state."""
    setup = make_setup(PROBLEM, CONFIG, make_combiner("sum"))
    key = jax.random.key(0)

    @eqx.filter_jit
    def by_hand(state):
        from polytask.supervised.training import _optimiser, batch_losses, shared_parameters

        losses, _ = batch_losses(setup, PROBLEM.train, key)
        before, rows = losses(state.params), []
        for task in range(4):
            gradient = jax.grad(lambda p, task=task: losses(p)[task])(state.params)
            gradient = eqx.tree_at(lambda g: g.heads, gradient, jax.tree.map(jnp.zeros_like, gradient.heads))
            with jax.numpy_dtype_promotion("standard"):
                updates = _optimiser(CONFIG.optimiser).update(gradient, state.optimiser, state.params)[0]
            stepped = jax.tree.map(
                lambda p, u, s: p - 0.3 * 0.9**3 * u if s else p, state.params, updates, shared_parameters(state.params)
            )
            rows.append(1 - losses(stepped) / before)
        return jnp.stack(rows)

    state = init(setup, key)
    state = eqx.tree_at(lambda s: s.step, state, jnp.int32(3 * (72 // 16) + 1))  # the fourth epoch
    seen = eqx.filter_jit(observe)(setup, nothing_seen(setup), state, PROBLEM.train, key)
    np.testing.assert_allclose(seen["transference"].mean, by_hand(state), rtol=1e-3, atol=1e-5)


def test_a_task_without_labels_in_the_batch_is_not_measured():
    setup = make_setup(PROBLEM, CONFIG, make_combiner("sum"), jnp.array([True, True, False, True]))
    lacking = eqx.tree_at(lambda e: e.present, PROBLEM.train, PROBLEM.train.present.at[:, 0].set(False))
    seen = eqx.filter_jit(observe)(
        setup, nothing_seen(setup), init(setup, jax.random.key(0)), lacking, jax.random.key(1)
    )
    there = np.array([False, True, False, True])
    for averages in seen.values():
        np.testing.assert_array_equal(averages.times, there[:, None] & there[None])


@pytest.mark.slow
def test_the_commands_work_on_such_a_run(whole, tmp_path):
    assert command("affinity", str(whole))[0] == 0
    code, out, _ = command("group", str(whole), "--output", str(tmp_path / "groups.json"))
    assert (code, "optimal: no allowed grouping" in " ".join(out.split())) == (0, True)
    code, _, _ = command("report", str(whole), "--out", str(tmp_path / "report.html"))
    assert (code, '<section id="affinity">' in (tmp_path / "report.html").read_text()) == (0, True)
