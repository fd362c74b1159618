"""Reparameterised convolutions: what is the same function, and what nothing trains."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask import random
from polytask.networks import ConvTrunk, add_task, response_init

IMAGES = jax.random.normal(random.key(0, "images"), (20, 5, 6, 2))


@pytest.fixture(scope="module")
def trunk():
    return eqx.filter_jit(lambda key: ConvTrunk((5, 6, 2), 7, 3, key=key))(random.key(0, "trunk"))


@pytest.fixture(scope="module")
def bank(trunk):
    return response_init(trunk, IMAGES)


outputs = eqx.filter_jit(lambda network, images: network(images))


@pytest.mark.parametrize("normalised", [True, False])
def test_a_new_task_begins_as_the_trained_trunk(trunk, bank, normalised):
    new = add_task(trunk, bank, normalised)
    np.testing.assert_allclose(outputs(new, IMAGES), outputs(trunk, IMAGES), atol=1e-5)


def test_rotations_are_the_principal_directions_of_the_responses(trunk, bank):
    images = jnp.pad(jnp.moveaxis(IMAGES, (3, 0), (0, 3)), ((0, 0), (1, 1), (1, 1), (0, 0)))
    turned = np.cov(trunk.convs[0](images).reshape(7, -1).T @ bank.rotations[0], rowvar=False)
    np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-5)
    assert (np.diff(np.diag(turned)) <= 1e-6).all()


def test_filters_are_no_parameters_and_rows_are_alone(trunk, bank):
    new = add_task(trunk, bank)
    sizes = [leaf.size for leaf in jax.tree.leaves(eqx.filter(new, eqx.is_array))]
    assert sum(sizes) == 3 * (7 * 7 + 7 + 2 * 7)
    np.testing.assert_array_equal(outputs(new, IMAGES.at[3:].set(9.0))[:3], outputs(new, IMAGES)[:3])


def test_normalised_rows_have_the_length_of_their_gain(trunk, bank):
    modulator = add_task(trunk, bank).modulators[0]
    scaled = eqx.tree_at(lambda m: (m.rows, m.gain), modulator, (9 * modulator.rows, 2 * modulator.gain))
    np.testing.assert_allclose(scaled.matrix(), 2 * modulator.matrix(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (1, 4), (3, 3, 3, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="no images"):
        ConvTrunk(shape, 4, 1, key=random.key(0, "trunk"))
