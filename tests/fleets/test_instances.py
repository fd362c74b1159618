"""Instances of fleets: names, drawing, files, and the check that shares nothing with what finds routes."""

import numpy as np
import pytest

from polytask import random
from polytask.fleets import Family, check, make_fleet
from polytask.fleets.heuristics import clustered, inserted, lengths, nearest
from polytask.fleets.instance import draw, read_sites, unbatched
from polytask.fleets.names import size_of
from polytask.fleets.search import searched
from polytask.fleets.solvers import SOLVERS, ortools, pyvrp

LINE = np.array([[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [0.9, 0.0]])


def fleet_of(vehicles=2, reach=(1.0,), sites=LINE, **more):
    return make_fleet(sites, np.zeros((1, 2)), np.array(reach), vehicles, **more)


def test_names_are_sizes():
    assert size_of("fleets/u4-n80") == size_of("u4-n80") == (4, 80)
    for name in ("u4", "fleets/n80", "u0-n5", "u4-n80-x"):
        with pytest.raises(ValueError, match="names no fleet"):
            size_of(name)


def test_the_paper_draws_in_the_unit_square_with_one_depot_and_equal_ranges():
    fleets = draw(Family(4, 30), random.key(0, "test"), 5)
    assert fleets.sites.shape == (5, 30, 2)
    assert fleets.depots.shape == (5, 4, 2)
    assert float(fleets.sites.min()) >= 0
    assert float(fleets.sites.max()) <= 1
    assert np.ptp(np.asarray(fleets.depots), axis=1).max() == 0
    assert set(np.asarray(fleets.ranges).ravel()) == {2.0}


def test_other_families_differ_in_what_they_say():
    family = Family(3, 20, depots="each", values="uniform", ranges=(1.0, 2.0), service=0.1)
    fleets = draw(family, random.key(0, "test"), 5)
    assert np.ptp(np.asarray(fleets.depots), axis=1).min() > 0
    assert 0.1 <= float(fleets.values.min()) < float(fleets.values.max()) <= 1
    assert 1 <= float(fleets.ranges.min()) < float(fleets.ranges.max()) <= 2
    assert 0 < float(fleets.service.max()) <= 0.1


def test_routes_are_worth_their_sites():
    checked = check(fleet_of(values=np.array([1.0, 2, 3, 4]), service=np.full(4, 0.1)), [(0, 2), (1,)])
    assert checked.value == 6
    assert checked.served == 3
    assert checked.lengths == pytest.approx((0.8, 0.5))


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ([(0,)], "have 2 routes"),
        ([(0,), (4,)], "sites are 0 to 3"),
        ([(0,), (-1,)], "sites are 0 to 3"),
        ([(0, 0), ()], "vehicle 0 serves too"),
        ([(0, 1), (1,)], "vehicle 0 serves too"),
        ([(3,), ()], "its range is 1"),
    ],
)
def test_routes_that_cannot_be_are_refused(routes, says):
    with pytest.raises(ValueError, match=says):
        check(fleet_of(), routes)


@pytest.mark.parametrize("find", [nearest, clustered])
@pytest.mark.parametrize("family", [Family(1, 1), Family(3, 2), Family(4, 40, "each", "uniform", (0.0, 2.0), 0.1)])
def test_heuristics_give_routes_that_can_be(find, family):
    for fleet in unbatched(draw(family, random.key(0, "test"), 3)):
        checked = check(fleet, find(fleet))
        assert checked.lengths == pytest.approx(lengths(fleet, find(fleet)))


def test_insertion_keeps_what_is_there_and_leaves_nothing_that_fits():
    fleet = fleet_of(reach=(0.7,))
    assert sorted(inserted(fleet, [(2,), ()])[0]) == [0, 1, 2]
    assert inserted(fleet_of(reach=(0.0,)), [(), ()]) == ((), ())
    assert check(fleet_of(vehicles=1, reach=(1.8,)), inserted(fleet_of(vehicles=1, reach=(1.8,)), [()])).served == 4


@pytest.mark.parametrize(
    ("sites", "reach", "scale"),
    [(12, 1.2, 1), (12, 0.0, 1), (12, 1.2, 0), pytest.param(2, 2.0, 1, marks=pytest.mark.slow)],
)
def test_a_search_is_never_worse_and_its_routes_can_be(sites, reach, scale):
    """Also from nothing, where nothing is in reach, with values of 0, and with fewer sites than vehicles."""
    family = Family(3, sites, "each", "uniform", (reach, reach), 0.05)
    (fleet,) = unbatched(draw(family, random.key(0, "test"), 1))
    fleet = fleet._replace(values=fleet.values * scale)
    for start in (nearest(fleet), ((),) * 3):
        assert check(fleet, searched(fleet, start, 0)) == check(fleet, start)
        assert check(fleet, searched(fleet, start, 5)).value >= check(fleet, start).value
    with pytest.raises(ValueError, match="rounds"):
        searched(fleet, start, -1)


def test_a_search_finds_what_insertion_does_not():
    (fleet,) = unbatched(draw(Family(3, 12, ranges=(1.2, 1.2)), random.key(1, "test"), 1))
    before, after = (check(fleet, routes).value for routes in (nearest(fleet), searched(fleet, nearest(fleet), 30)))
    assert after > before


@pytest.mark.parametrize("solve", [ortools, pyvrp])
def test_packages_find_the_best_of_small_instances(solve):
    pytest.importorskip(solve.__name__)
    two = make_fleet(np.array([[0.4, 0], [-0.4, 0], [0.2, 0], [9, 9]]), np.zeros((1, 2)), np.array([0.8]), 2)
    assert check(two, solve(two, 0.2)).served == 3
    unequal = make_fleet(np.array([[1.0, 0], [5, 0]]), np.array([[0.0, 0], [4, 0]]), np.array([1.0, 2.0]), 2)
    assert solve(unequal, 0.2) == ((), (1,))


def test_pyvrp_starts_from_routes():
    pytest.importorskip("pyvrp")
    (fleet,) = unbatched(draw(Family(4, 30), random.key(0, "test"), 1))
    start = nearest(fleet)
    assert check(fleet, pyvrp(fleet, 0.1, start)).value >= check(fleet, start).value


def test_solvers_go_by_name():
    assert SOLVERS["greedy"](fleet_of(), 0.0) == nearest(fleet_of())


def test_sites_come_from_a_file(tmp_path):
    file = tmp_path / "sites.csv"
    file.write_text("x, y, value\n0.5, 1, 2\n3,4,5\n")
    table = read_sites(file)
    assert table["sites"].tolist() == [[0.5, 1], [3, 4]]
    assert table["values"].tolist() == [2, 5]
    assert table["service"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x,z\n1,2\n", "no column y"),
        ("x,y\n1,a\n", "line 2: y is 'a'"),
        ("x,y\n1\n", "line 2: y is None"),
        ("x,y\n", "no site"),
    ],
)
def test_files_that_are_wrong_say_where(tmp_path, text, says):
    file = tmp_path / "sites.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_sites(file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reach": (1.0, 1.0, 1.0)}, "have one range, or 2"),
        ({"reach": (np.nan,)}, "not finite"),
        ({"values": np.array([-1.0, 0, 0, 0])}, "at least 0"),
        ({"sites": np.zeros((0, 2))}, "at least one site"),
    ],
)
def test_instances_that_cannot_be_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        fleet_of(**change)
