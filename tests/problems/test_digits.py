"""The digit problems: deterministic, disjoint, and what they say they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import make_combiner
from polytask.problems import SUMMARIES, digits, resolve, settings
from polytask.problems.digit_attributes import ATTRIBUTES, digit_attributes
from polytask.problems.planted import CLUSTERS, planted_clusters
from polytask.supervised import fit_subsets

NAMES = ("multidigits", "digit-attributes-5", "planted-clusters")


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_data(name):
    one, again, other = resolve(f"problems/{name}", 1), resolve(name, 1), resolve(name, 2)
    assert jax.tree.structure(one) == jax.tree.structure(other), "so that problems can be stacked"
    same = [np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True)]
    assert all(same)
    assert not np.array_equal(one.train.inputs, other.train.inputs)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_tasks_and_labels_for_all(name):
    problem = resolve(name)
    assert name.split("-5")[0] in SUMMARIES
    for part in (problem.train, problem.validation, problem.test):
        assert part.present.all()
        assert len(part.inputs) >= 300


@pytest.mark.parametrize("seed", [0, 1])
def test_no_picture_is_in_two_splits(seed):
    parts = digits.disjoint_parts(seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1_797))
    assert [len(part) for part in parts] == [1_078, 360, 359]


def test_multidigits_sources_are_disjoint_and_where_they_should_be():
    """Where nothing overlaps, each digit can be found among the pictures of its own split only."""
    problem, pictures = resolve("multidigits"), digits.load()
    parts = digits.disjoint_parts(0)
    for rows, own in zip((problem.train, problem.validation, problem.test), parts, strict=True):
        shown = np.asarray(rows.inputs)
        for place, corner, label in (
            (shown[:, :4, :8], pictures.images[:, :4], rows.targets[0][:, 0]),
            (shown[:, 8:, 4:], pictures.images[:, 4:], rows.targets[0][:, 1]),
        ):
            known = {(c.tobytes(), int(digit)) for c, digit in zip(corner[own], pictures.labels[own], strict=True)}
            found = [(np.ascontiguousarray(p).tobytes(), int(d)) for p, d in zip(place[:200], label[:200], strict=True)]
            assert all(one in known for one in found)


def test_attributes_are_forty_with_names_of_their_own_and_any_beginning_is_mixed():
    names = [name for name, _ in ATTRIBUTES]
    assert len(ATTRIBUTES) == len(set(names)) == 40
    assert {kind for _, kind in ATTRIBUTES[:2]} == {"binary", "regression"}
    with pytest.raises(ValueError, match="2 to 40 heads, not 1"):
        digit_attributes(heads=1)


def test_attributes_say_what_is_in_the_picture():
    problem = digit_attributes(heads=40)
    assert problem.names == tuple(name for name, _ in ATTRIBUTES)
    labels = digits.load().labels[digits.disjoint_parts(0)[0]]
    answers = {}
    for group, values in zip(("binary", "regression"), problem.train.targets, strict=True):
        members = [task.name for task in problem.tasks if task.kind == group]
        answers |= {name: np.asarray(values[:, i, 0]) for i, name in enumerate(members)}
    np.testing.assert_array_equal(answers["even"], labels % 2 == 0)
    np.testing.assert_array_equal(answers["is-7"], labels == 7)
    np.testing.assert_array_equal(answers["bar-middle"], ~np.isin(labels, [0, 1, 7]))
    assert np.corrcoef(answers["value"], labels)[0, 1] == pytest.approx(1)
    assert np.corrcoef(answers["bars"], np.array([6, 2, 5, 5, 4, 5, 6, 3, 7, 6])[labels])[0, 1] == pytest.approx(1)
    for name, kind in ATTRIBUTES:
        if kind == "regression":
            assert answers[name].std() == pytest.approx(1, abs=1e-4), name
            assert answers[name].mean() == pytest.approx(0, abs=1e-4), name
        else:
            assert 0.05 < answers[name].mean() < 0.95, name


def test_planted_tasks_correlate_within_their_cluster_only():
    quiet = planted_clusters(0, noise=0.0)
    labels = np.concatenate([np.asarray(p.targets[0])[:, :, 0] for p in (quiet.train, quiet.validation, quiet.test)])
    assert labels.shape == (1_797, 6)
    correlations = np.corrcoef(labels.T)
    for i in range(6):
        for j in range(6):
            same = any(i in c and j in c for c in CLUSTERS)
            expected, slack = (1.0 if i == j else 0.8, 1e-5) if same else (0.0, 0.35)
            assert correlations[i, j] == pytest.approx(expected, abs=slack)
    assert labels.std(0) == pytest.approx(np.ones(6), abs=1e-4)
    noisy = np.concatenate([np.asarray(getattr(planted_clusters(0), p).targets[0])[:, :, 0] for p in ("train", "test")])
    assert noisy.std() == pytest.approx(np.sqrt(1.09), abs=0.05)


@pytest.mark.slow
def test_problems_of_several_seeds_can_be_stacked_and_masked():
    """What claims about grouping need: all subsets of all problems in one program."""
    config = dataclasses.replace(settings("planted-clusters"), steps=50)
    masks = jnp.array([[True] * 6, [True] * 3 + [False] * 3])
    found = fit_subsets(planted_clusters(0), config, make_combiner("sum"), 0, masks)
    assert found.test.loss.shape == (2, 6)
    assert np.isfinite(found.test.loss).all()


@pytest.mark.slow
def test_a_cluster_fits_into_the_trunk_and_six_tasks_do_not():
    masks = jnp.array([[True] * 6, [True] * 3 + [False] * 3, [False] * 3 + [True] * 3, [True, True, False] * 2])
    for seed in range(2):
        problem = planted_clusters(seed)
        loss = np.asarray(fit_subsets(problem, settings("planted-clusters"), make_combiner("sum"), 0, masks).test.loss)
        together, planted = loss[0].mean(), (loss[1, :3].sum() + loss[2, 3:].sum()) / 6
        assert 0.09 < planted < 0.13
        assert planted < 0.75 * together
