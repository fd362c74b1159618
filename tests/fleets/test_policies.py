"""Both policies: what they do can be done, is as likely as they say, and does not hang on how an instance lies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask import random
from polytask.fleets import Family, check
from polytask.fleets.allocator import allocation_log_probs, allocations, encoded, swept, trips_of, whole_trip
from polytask.fleets.bilevel import BilevelScheduler, Turn
from polytask.fleets.instance import draw, unbatched
from polytask.fleets.learning import advantages, reinforce
from polytask.fleets.model import FleetModel, by_angle, decode, most_sites, symmetries
from polytask.fleets.router import log_probs, tours
from polytask.networks.attention import AttentionEncoder, Pointer, attend, point


@eqx.filter_jit
def drawn_tours(router, trip, samples, key):
    return tours(router(trip), trip, samples, key)


@eqx.filter_jit
def drawn_allocations(allocator, fleets, samples, key):
    return allocations(allocator, encoded(allocator, fleets), samples, key)


@eqx.filter_jit
def likelihoods(router, trip, found):
    return log_probs(router(trip), found)


FAMILIES = {
    "paper": Family(3, 9),
    "one of each": Family(1, 1),
    "more vehicles than sites": Family(4, 2),
    "unequal": Family(3, 9, "each", "uniform", (0.5, 2.0), 0.2),
    "nothing in reach": Family(2, 5, ranges=(1e-6, 1e-6)),
}


@pytest.fixture(scope="module")
def model():
    return FleetModel(8, 1, key=random.key(0, "test.model"))


@pytest.fixture(scope="module")
def single():
    return FleetModel(8, 1, single=True, key=random.key(0, "test.model"))


def fleets_of(name, count=3):
    return draw(FAMILIES[name], random.key(0, "test.fleets"), count)


@pytest.mark.parametrize("name", FAMILIES)
def test_routes_pass_the_check_and_are_worth_what_is_said(model, name):
    fleets = fleets_of(name)
    found = decode(model, fleets, 3, True, random.key(0, "test.draw"))
    for fleet, value, stops in zip(unbatched(fleets), found.value, np.asarray(found.stops), strict=True):
        routes = [[int(site) for site in route if site >= 0] for route in stops]
        assert check(fleet, routes).value == pytest.approx(float(value), rel=1e-5)


def test_a_single_level_serves_with_all_vehicles_in_turn(single):
    """Also where the first one has nothing in reach."""
    fleets = fleets_of("paper")
    fleets = fleets._replace(ranges=fleets.ranges.at[:, 0].set(1e-6))
    found = decode(single, fleets, 2, True, random.key(0, "test.draw"))
    for fleet, value, stops in zip(unbatched(fleets), found.value, np.asarray(found.stops), strict=True):
        routes = [[int(site) for site in route if site >= 0] for route in stops]
        assert check(fleet, routes).value == pytest.approx(float(value), rel=1e-5)
        assert not routes[0]
        assert routes[1]
        assert routes[2]


@pytest.mark.parametrize("name", ["paper", "more vehicles than sites"])
def test_allocations_have_the_likelihood_with_which_they_are_drawn(model, name):
    """Over all allocations of few sites probabilities come to one, and what is drawn most is the likeliest."""
    fleets = by_angle(fleets_of(name, 1))
    fleets = fleets._replace(sites=fleets.sites[:, :2], values=fleets.values[:, :2], service=fleets.service[:, :2])
    count = fleets.ranges.shape[-1]
    every = jnp.array([[a, b] for a in range(count) for b in range(count)])[None]
    likely = jnp.exp(allocation_log_probs(model.allocator, encoded(model.allocator, fleets), every))[0]
    assert float(likely.sum()) == pytest.approx(1, abs=1e-5)
    drawn = drawn_allocations(model.allocator, fleets, 2_000, random.key(0, "test.draw"))[0]
    seen = jnp.bincount(drawn[:, 0] * count + drawn[:, 1], length=count**2) / 2_000
    np.testing.assert_allclose(seen, likely, atol=0.05)


def test_tours_have_the_likelihood_with_which_they_are_drawn(model):
    fleets = by_angle(fleets_of("paper", 1))
    trip, _ = trips_of(fleets, swept(fleets, random.key(0, "test.swept")), 3)
    trip = jax.tree.map(lambda leaf: leaf[0, 0, :1], trip)
    found = drawn_tours(model.router, trip, 2_000, random.key(0, "test.draw"))
    likely = np.exp(np.asarray(likelihoods(model.router, trip, found)))[0]
    names = [tuple(stops) for stops in np.asarray(found.stops)[0].tolist()]
    shares = {name: names.count(name) / len(names) for name in set(names)}
    assert len(shares) > 1
    for name, probability in dict(zip(names, likely.tolist(), strict=True)).items():
        assert shares[name] == pytest.approx(probability, abs=0.05)
    assert sum(dict(zip(names, likely.tolist(), strict=True)).values()) == pytest.approx(1, abs=0.02)


def test_the_depot_is_chosen_only_where_nothing_fits(model):
    fleets = by_angle(fleets_of("unequal"))
    trip, _ = trips_of(fleets, swept(fleets, random.key(0, "test.swept")), most_sites(fleets))
    found = drawn_tours(model.router, trip, 2, random.key(0, "test.draw"))
    home, sites = np.asarray(found.allowed[..., 0]), np.asarray(found.allowed[..., 1:].any(-1))
    assert (home != sites).all()


def test_sites_a_vehicle_was_not_given_do_not_matter(model):
    fleets = by_angle(fleets_of("paper"))
    trip, _ = trips_of(fleets, swept(fleets, random.key(0, "test.swept")), 9)
    moved = trip._replace(sites=jnp.where(trip.present[..., None], trip.sites, 7.0))
    pair = (drawn_tours(model.router, one, 1, None) for one in (trip, moved))
    for one, other in zip(*pair, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_vehicle_is_given_is_all_and_only_that():
    fleets = by_angle(fleets_of("paper"))
    given = swept(fleets, random.key(0, "test.swept"))
    trip, numbers = trips_of(fleets, given, 9)
    for vehicle in range(3):
        held = np.asarray(trip.present)[0, 0, vehicle]
        assert set(np.asarray(numbers)[0, 0, vehicle][held]) == set(np.flatnonzero(np.asarray(given)[0, 0] == vehicle))
    assert np.bincount(np.asarray(given)[0, 0]).tolist() == [3, 3, 3]


def test_symmetries_keep_lengths_and_are_eight():
    fleets = fleets_of("unequal")
    turned = symmetries(fleets)
    assert turned.sites.shape == (24, 9, 2)
    np.testing.assert_allclose(turned.sites[:3], fleets.sites)
    images = np.asarray(turned.sites).reshape(8, 3, 9, 2)
    assert len({image.tobytes() for image in images.round(5)}) == 8
    far = np.linalg.norm(turned.sites[:, :, None] - turned.depots[:, None], axis=-1)
    np.testing.assert_allclose(far, np.tile(far[:3], (8, 1, 1)), atol=1e-6)


def test_an_instance_that_is_moved_has_the_same_routes(model):
    fleets = fleets_of("paper")
    moved = fleets._replace(sites=fleets.sites + 0.25, depots=fleets.depots + 0.25)
    np.testing.assert_array_equal(
        decode(model, fleets, 1, False, None).stops, decode(model, moved, 1, False, None).stops
    )


def test_more_ways_are_never_worse(model):
    fleets = fleets_of("paper")
    one, eight = (decode(model, fleets, 1, ways, None).value for ways in (False, True))
    assert (np.asarray(eight) >= np.asarray(one)).all()


def test_attention_ignores_what_is_not_present_and_rows_of_others():
    encoder = AttentionEncoder(8, 2, 2, key=random.key(0, "test.encoder"))
    x = jax.random.normal(random.key(0, "test.x"), (2, 5, 8))
    present = jnp.array([[True, True, True, False, False], [True] * 5])
    out = encoder(x, present)
    changed = x.at[0, 3:].set(100.0).at[1].set(0.0)
    np.testing.assert_allclose(encoder(changed, present)[0, :3], out[0, :3], rtol=1e-5)
    with pytest.raises(ValueError, match="does not divide into 3 heads"):
        AttentionEncoder(8, 1, 3, key=random.key(0, "test.encoder"))


def test_pointers_are_the_products_that_they_stand_for():
    """What is computed for pairs of nodes is what a glimpse and a key give for each query (equations 5 to 8)."""
    pointer = Pointer(8, key=random.key(0, "test.pointer"))
    nodes = jax.random.normal(random.key(0, "test.x"), (1, 4, 8))
    slope, number = jnp.arange(8.0) / 8, jnp.array([[0.5, -2.0]])
    mask = jnp.array([[[True, False, True, True], [False, True, False, True]]])
    found = point(pointer(nodes, 2 * nodes, slope), jnp.array([[1, 2]]), number, mask)
    queries = 2 * nodes[:, 1:3] + number[..., None] * slope[None, None]
    glimpse = attend(
        *(x[..., None, :] for x in (queries, pointer.glimpse_keys(nodes), pointer.glimpse_values(nodes))), mask
    )
    seen = pointer.glimpse_output(glimpse[..., 0, :])
    logits = 10 * jnp.tanh(seen @ pointer.keys(nodes)[0].T / 8**0.5)
    np.testing.assert_allclose(found, jax.nn.log_softmax(jnp.where(mask, logits, -1e9), -1), rtol=1e-4)
    assert float(jnp.where(mask, 0, jnp.exp(found)).max()) == 0


def test_reinforce_moves_towards_the_better_sample():
    values = jnp.array([[1.0, 3.0]])
    gradient = jax.grad(lambda logits: reinforce(jax.nn.log_softmax(logits), advantages(values, None)))(
        jnp.zeros((1, 2))
    )
    assert float(gradient[0, 1]) < 0 < float(gradient[0, 0])
    assert advantages(jnp.full((1, 3), 5.0), None).tolist() == [[0, 0, 0]]
    assert advantages(values, jnp.array([[2.0]])).tolist() == [[-1, 1]]


def test_the_schedule_pretrains_then_is_intensive_then_alternates():
    schedule = BilevelScheduler(pretrain=3, intensive=8, round=2, times=2)
    levels = "".join(schedule.turn(step).level[0] for step in range(19))
    assert levels == "lll" + "uuuullll" + "uulluull"
    assert [schedule.turn(step).given for step in range(5)] == [False] * 3 + [True] * 2
    assert BilevelScheduler(0, 0, 1, 1).turn(0) == Turn("upper", given=True)
    with pytest.raises(ValueError, match="round has to be at least 1"):
        BilevelScheduler(round=0)


@pytest.mark.parametrize("single", [False, True])
def test_policies_have_gradients_that_are_finite(model, single):
    """Also where nothing is in reach, where a vehicle is given nothing, and where tours end long before others."""
    uneven = fleets_of("unequal")._replace(ranges=jnp.array([[0.1] * 3, [2.0] * 3, [2.0, 0.1, 2.0]]))
    for given in (fleets_of("nothing in reach"), fleets_of("more vehicles than sites"), uneven):
        fleets = by_angle(given)
        trip, _ = trips_of(fleets, swept(fleets, random.key(0, "test.swept")), fleets.values.shape[-1])
        trip = whole_trip(fleets) if single else trip
        found = drawn_tours(model.router, trip, 2, random.key(0, "test.draw"))
        score = eqx.filter_jit(eqx.filter_grad(lambda router, trip, found: log_probs(router(trip), found).sum()))
        gradient = score(model.router, trip, found)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))
