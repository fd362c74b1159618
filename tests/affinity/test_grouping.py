"""Grouping: the published groupings, brute force on small matrices, and what must hold for every search."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from polytask.affinity import baselines, blocks, program, search
from polytask.affinity.program import good_grouping
from polytask.affinity.scores import best_groups, group_scores, grouping_score, places, tidy
from polytask.affinity.search import best_grouping

GOLDEN = Path(__file__).parents[3] / "shared" / "goldens" / "tag_affinities.json"


@pytest.fixture(scope="module")
def published():
    if not GOLDEN.exists():
        pytest.skip(f"the golden numbers are not at hand: {GOLDEN}")
    return json.loads(GOLDEN.read_text())


def matrix_of(published, name):
    """[source][recipient] from the published [recipient][source]; and the tasks."""
    table = published[name]
    tasks = list(table)
    return np.array([[table[to].get(of, 0.0) for to in tasks] for of in tasks]), tasks


def random_matrix(seed, tasks=5, kind="normal"):
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.normal(size=(tasks, tasks)),
        "negative": lambda: -rng.exponential(size=(tasks, tasks)),
        "few values": lambda: rng.integers(-1, 2, (tasks, tasks)).astype(float),  # many ties
    }[kind]()


# The published numbers


@pytest.mark.parametrize(("name", "groups"), [("taskonomy", 2), ("taskonomy", 3), ("celeba", 2)])
def test_published_groupings(published, name, groups):
    matrix, tasks = matrix_of(published, name)
    expected = published["expected"][name][str(groups)]
    found = best_grouping(matrix, groups)
    assert found.optimal
    assert {frozenset(tasks[t] for t in g) for g in found.groups} == {frozenset(g) for g in expected["groups"]}
    if "score" in expected:
        assert found.score == pytest.approx(expected["score"], abs=5e-6)


def test_three_groups_of_celeba(published):
    matrix, tasks = matrix_of(published, "celeba")
    found = {frozenset(tasks[t] for t in g) for g in best_grouping(matrix, 3).groups}
    rest = frozenset(tasks) - {"5_o_Clock_Shadow", "Brown_Hair"}
    assert found == {frozenset({"5_o_Clock_Shadow", "No_Beard"}), frozenset({"Black_Hair", "Brown_Hair"}), rest}


# Against trying everything


@pytest.mark.parametrize("kind", ["normal", "negative", "few values"])
@pytest.mark.parametrize("alone", [None, 0.0, -0.5])
def test_search_equals_brute_force(kind, alone):
    for seed, tasks in ((0, 5), (1, 4)) if (kind, alone) == ("normal", None) else ((1, 4),):
        matrix = random_matrix(seed, tasks, kind)
        count = len(matrix)
        table = baselines.score_table(matrix, alone)
        for groups, overlap, budget in itertools.product((1, 2, 3), (True, False), (None, count + 1)):
            expected = baselines.exhaustive(table, groups, overlap=overlap, budget=budget)[1]
            found = best_grouping(matrix, groups, overlap=overlap, alone=alone, budget=budget)
            assert found.score == pytest.approx(expected, abs=1e-9)
            check(found, matrix, groups, overlap, alone, budget)
            assert found.optimal


def check(found, matrix, groups, overlap, alone, budget):
    """What holds for every grouping, however it was found."""
    count = len(matrix)
    assert 1 <= len(found.groups) <= groups
    assert set().union(*found.groups) == set(range(count))
    assert found.groups == tidy(found.groups)
    assert found.score == pytest.approx(grouping_score(matrix, found.groups, alone))
    assert found.bound >= found.score - 1e-9
    if not overlap:
        assert places(found.groups) == count
    if budget is not None:
        assert places(found.groups) <= budget
    if alone is None:
        assert min(map(len, found.groups)) > 1


def test_many_tasks_are_as_good_as_exact_up_to_their_gap():
    for seed, (overlap, budget) in enumerate([(True, None), (False, None), (True, 12)]):
        matrix = random_matrix(seed, 9)
        exact = best_grouping(matrix, 4, overlap=overlap, budget=budget)
        found = good_grouping(matrix, 4, overlap=overlap, budget=budget)
        check(found, matrix, 4, overlap, None, budget)
        assert found.score <= exact.score + 1e-9 <= found.bound + 2e-9
        assert found.score > exact.score - 0.02 * np.abs(matrix).max()


def test_planted_clusters_are_found():
    rng = np.random.default_rng(0)
    for tasks, solve in ((14, best_grouping), (24, good_grouping)):
        cluster = rng.permutation(np.arange(tasks) % 3)
        matrix = np.where(cluster[:, None] == cluster[None], 1.0, -0.2) + rng.normal(0, 0.1, (tasks, tasks))
        found = solve(matrix, 3, overlap=False)
        assert {tuple(sorted({int(cluster[t]) for t in g})) for g in found.groups} == {(0,), (1,), (2,)}


@pytest.mark.slow
def test_twenty_tasks_are_proved_optimal():
    for seed, (groups, overlap, budget) in enumerate(
        [(2, True, None), (5, True, None), (20, True, None), (5, True, 26), (5, False, None)]
    ):
        matrix = random_matrix(seed, 20)
        found = best_grouping(matrix, groups, overlap=overlap, budget=budget)
        assert found.optimal
        check(found, matrix, groups, overlap, None, budget)
        assert found.nodes < 100_000


# Properties


def test_order_of_the_tasks_does_not_matter():
    matrix = random_matrix(3, 7)
    order = np.random.default_rng(0).permutation(7)
    one, other = best_grouping(matrix, 3), best_grouping(matrix[np.ix_(order, order)], 3)
    assert tidy([order[t] for t in g] for g in other.groups) == one.groups


def test_scale_does_not_matter():
    matrix = random_matrix(4, 8)
    for solve in (best_grouping, good_grouping):
        found = solve(matrix, 3)
        for scale in (1e-12, 1e12):
            scaled = solve(matrix * scale, 3)
            assert scaled.groups == found.groups
            assert scaled.score == pytest.approx(found.score * scale)


def test_more_is_never_worse():
    matrix = random_matrix(5, 6)
    scores = [best_grouping(matrix, k).score for k in range(1, 7)]
    assert scores == sorted(scores)
    apart = [best_grouping(matrix, k, overlap=False).score for k in range(1, 7)]
    assert all(a <= s + 1e-12 for a, s in zip(apart, scores, strict=True))
    budgets = [best_grouping(matrix, 4, budget=b).score for b in range(6, 15)]
    assert budgets == sorted(budgets)
    assert best_grouping(matrix, 4, budget=24).score == pytest.approx(scores[3])


def test_two_equal_tasks_and_all_zero():
    zero = best_grouping(np.zeros((3, 3)), 2)
    assert (zero.score, zero.optimal) == (0.0, True)
    pair = best_grouping(np.array([[9.0, 1.0], [3.0, 9.0]]), 2)
    assert (pair.groups, pair.score) == (((0, 1),), 2.0)
    one_sided = np.array([[0.0, 1.0], [3.0, 0.0]])
    assert best_grouping(one_sided, 2, alone=2.5).groups == ((0, 1), (1,))
    assert best_grouping(one_sided, 2, alone=2.5, overlap=False).groups == ((0,), (1,))


def test_a_search_that_is_cut_short_says_so(monkeypatch):
    monkeypatch.setattr(search, "_MOST_NODES", 3)
    found = best_grouping(random_matrix(0, 10), 4)
    assert found.bound >= found.score
    check(found, random_matrix(0, 10), 4, True, None, None)
    monkeypatch.setattr(search, "_MOST_NODES", 2_000_000)
    assert best_grouping(random_matrix(0, 10), 4).score <= found.bound


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": 0}, "at least one group"),
        ({"budget": 4}, "the budget is 4"),
        ({"affinity": np.full((5, 5), np.nan)}, "not known"),
        ({"affinity": np.zeros((1, 1))}, "at least two tasks"),
        ({"affinity": np.zeros((21, 21))}, "use good_grouping"),
    ],
)
def test_wrong_requests_say_what_to_change(change, said):
    with pytest.raises(ValueError, match=said):
        best_grouping(**{"affinity": np.zeros((5, 5)), "groups": 2, **change})


# The parts


def test_scores_by_hand():
    matrix = np.array([[7.0, 1.0, 2.0], [3.0, 7.0, 4.0], [5.0, 6.0, 7.0]])
    scores = group_scores(matrix, [(0, 1, 2), (0, 2), (1,)], alone=-1.0)
    np.testing.assert_array_equal(scores, [[4.0, 3.5, 3.0], [5.0, -np.inf, 2.0], [-np.inf, -1.0, -np.inf]])
    assert best_groups(matrix, [(0, 1, 2), (0, 2)]) == (1, 0, 0)
    assert grouping_score(matrix, [(0, 1, 2), (0, 2)]) == pytest.approx((5 + 3.5 + 3) / 3)
    assert grouping_score(matrix, [(0, 2)]) == -np.inf


def test_helpers_of_a_block_are_the_best_superset():
    matrix = random_matrix(6, 6)
    np.fill_diagonal(matrix, 0.0)
    table = baselines.score_table(matrix, None)
    values = blocks.all_helped_values(matrix, None, keep=False)[0]
    for mask in range(1, 64):
        served = [t for t in range(6) if mask >> t & 1]
        over = [table[m - 1, served].sum() for m in range(1, 64) if m & mask == mask]
        assert values[mask] == pytest.approx(max(over))


def test_an_oracle_of_measured_losses():
    """`exhaustive` takes any table, such as minus the losses of trained groups."""
    table = np.full((3, 2), -np.inf)
    table[0, 0], table[1, 1], table[2] = -3.0, -1.0, (-2.0, -5.0)
    assert baselines.exhaustive(table, 2) == (((0, 1), (1,)), -1.5)
    assert baselines.exhaustive(table, 2, overlap=False) == (((0,), (1,)), -2.0)
    with pytest.raises(ValueError, match="too many"):
        baselines.exhaustive(np.zeros((1023, 10)), 3)


def test_baselines():
    matrix = random_matrix(7, 9)
    found = baselines.compare(matrix, 3, cosine=(matrix + matrix.T) / 2, rng=np.random.default_rng(0), draws=20)
    assert found["all together"] == pytest.approx(grouping_score(matrix, baselines.together(9)))
    assert found["each alone"] == -np.inf
    best = best_grouping(matrix, 3).score
    assert all(value <= best + 1e-12 for value in found.values())
    assert np.isfinite([v for k, v in found.items() if "cosine" in k or "random" in k]).all()


@pytest.mark.parametrize("spectral", [False, True])
def test_clusters_by_similarity(spectral):
    cluster = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    similarity = np.where(cluster[:, None] == cluster[None], 0.8, -0.1)
    assert baselines.by_similarity(similarity, 3, spectral=spectral) == ((0, 3, 6), (1, 4, 7), (2, 5, 8))


def test_singles_join_the_most_similar():
    similarity = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])
    assert baselines.without_singles(((0, 1), (2,)), similarity) == ((0, 1, 2),)


def test_the_bound_of_the_sizes_holds_for_every_grouping():
    for seed in range(3):
        matrix = random_matrix(seed, 7)
        for overlap in (True, False):
            pool = program._Pool(matrix, overlap, None)
            bound, _ = program._size_bound(pool, 3, None, 5.0)
            assert bound >= best_grouping(matrix, 3, overlap=overlap).score - 1e-9


def test_a_request_that_cannot_be_says_what_is_wrong():
    """In a process of its own, since the shapes that tests check at run time would speak first."""
    asked = "\n".join(
        [
            "import numpy as np",
            "from polytask.affinity import best_grouping",
            "for shape, groups in (((5, 6), 2), ((5, 5), 2.5)):",
            "    try: best_grouping(np.ones(shape), groups)",
            "    except ValueError as error: print(error)",
        ]
    )
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [
        "affinity has shape (5, 6); it is square, from task (row) to task (column)",
        "groups is a whole number, not 2.5",
    ]
