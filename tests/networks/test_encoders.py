"""Encoders as properties: convolutions by another way, sizes of images, what a task without an image sees."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.networks import ENCODERS, ImageFeatures, make_encoder
from polytask.networks.convolution import Conv, batch_last, max_pool, patches
from polytask.networks.nature import HALVED, SMALLEST
from tests.dtypes import cast, forms

KEY = jax.random.key(0)
TASKS = jnp.array([0, 1, 2, 0, 1], jnp.int32)
call = jax.jit(lambda module, *inputs: module(*inputs))


def pictures(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, shape), jnp.uint8)


def xla_convolution(conv: Conv, x: jax.Array) -> jax.Array:
    """By XLA's own: its kernel has (height, width, channels), ours in blocks of the stride, where they fit."""
    block = conv.stride if conv.size % conv.stride == 0 else 1
    blocks = conv.size // block
    kernel = conv.dense.kernel.reshape(blocks, blocks, block, block, x.shape[-1], -1)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(conv.size, conv.size, x.shape[-1], -1)
    strides, form = (conv.stride, conv.stride), ("NHWC", "HWIO", "NHWC")
    return (
        jax.lax.conv_general_dilated(x, kernel, strides, "VALID", dimension_numbers=form)
        + conv.dense.bias[None, None, None]
    )


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (4, 2), (3, 2), (8, 4), (2, 2)])
@pytest.mark.parametrize("sides", [(8, 11), (13, 9)])
def test_patches_times_a_kernel_are_a_convolution(size, stride, sides):
    conv = Conv(3, 5, size, stride, key=KEY)
    images = pictures(2, *sides, 3)
    expected = batch_last(xla_convolution(conv, images.astype(jnp.float32) / 255))
    x = batch_last(images)
    np.testing.assert_allclose(call(conv, x), expected, rtol=1e-4, atol=1e-5)  # bytes count from 0 to 1
    np.testing.assert_allclose(call(conv, x.astype(jnp.float32) / 255), expected, rtol=1e-4, atol=1e-5)
    assert patches(x, size, stride).shape == (size * size * 3, *expected.shape[1:])


@pytest.mark.parametrize("sides", [(7, 6), (1, 3)])
def test_pooling_halves_sides_and_takes_the_largest(sides):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, *sides, 2)), jnp.float32)
    expected = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    np.testing.assert_array_equal(jax.jit(max_pool)(x), expected)


@pytest.mark.parametrize("name", ["nature", "impala"])
@pytest.mark.parametrize("side", [2, 10, HALVED, SMALLEST])
def test_encoders_take_images_of_any_size_and_give_normalised_features(name, side):
    encoder = make_encoder(name, (side, side + 1, 3), 6, 0.5, key=KEY)
    images = pictures(4, side, side + 1, 3)
    features = np.asarray(call(encoder, images))
    assert features.shape == (4, encoder.width) == (4, 6)
    np.testing.assert_allclose(features.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=1), 1, rtol=1e-2)
    assert np.abs(features[0] - features[1]).max() > 1e-3


def test_the_nature_network_has_the_paper_s_sizes_and_minatar_s_on_small_images():
    large, small = (
        eqx.filter_eval_shape(make_encoder, "nature", shape, 512, 1.0, key=KEY) for shape in ((84, 84, 4), (10, 10, 6))
    )
    kernels = [convolution.dense.kernel.shape for convolution in large.convolutions]
    assert kernels == [(8 * 8 * 4, 32), (4 * 4 * 32, 64), (3 * 3 * 64, 64)]
    assert large.dense.kernel.shape == (7 * 7 * 64, 512)
    assert [convolution.dense.kernel.shape for convolution in small.convolutions] == [(3 * 3 * 6, 16)]
    assert small.dense.kernel.shape == (8 * 8 * 16, 512)


@pytest.mark.parametrize("name", ["nature", "impala"])
def test_the_multiplier_is_of_the_channels(name):
    def channels(multiplier):
        encoder = eqx.filter_eval_shape(make_encoder, name, (40, 40, 3), 8, multiplier, key=KEY)
        convolutions = jax.tree.leaves(encoder, is_leaf=lambda node: isinstance(node, Conv))
        return np.array([one.dense.bias.shape[0] for one in convolutions if isinstance(one, Conv)])

    np.testing.assert_array_equal(channels(2.0), 2 * channels(1.0))
    assert (channels(1e-9) == 1).all()


@pytest.mark.parametrize("name", ["nature", "impala"])
def test_encoders_compute_in_the_type_of_their_parameters(name):
    encoder = cast(make_encoder(name, (10, 10, 3), 6, 0.25, key=KEY), jnp.bfloat16)

    def loss(encoder):
        return jnp.square(encoder(pictures(4, 10, 10, 3))).mean()

    assert jax.eval_shape(loss, encoder).dtype == jnp.bfloat16
    assert forms(jax.eval_shape(jax.grad(loss), encoder)) == forms(encoder)


def make_features(film: int = 0) -> ImageFeatures:
    """Two places: task 0 has an image at both, task 1 at the second alone, task 2 at none."""
    encoders = tuple(make_encoder("nature", (side, side, 2), 4, 0.25, key=KEY) for side in (5, 6))
    return ImageFeatures(encoders, ((True, True), (False, True), (False, False)), film, key=KEY)


def test_a_task_without_an_image_at_a_place_gets_zeros_whatever_is_there():
    features, film = make_features(), jnp.zeros((5, 0))
    images = (pictures(5, 5, 5, 2), pictures(5, 6, 6, 2))
    found = np.asarray(call(features, images, film, TASKS))
    seen = np.repeat(np.array(features.present)[np.asarray(TASKS)], 4, axis=1)
    np.testing.assert_array_equal(found != 0, seen)
    other = tuple(255 - image for image in images)
    changed = np.asarray(call(features, other, film, TASKS)) != found
    np.testing.assert_array_equal(changed, seen)
    gradient = jax.grad(lambda f: jnp.square(f(images, film, jnp.full(5, 2, jnp.int32))).sum())(features)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_film_begins_as_the_identity_and_then_scales_and_shifts_by_the_task():
    features, plain = make_features(film=3), make_features()
    images = (pictures(5, 5, 5, 2), pictures(5, 6, 6, 2))
    told = jnp.eye(3)[TASKS]
    before = np.asarray(call(plain, images, told, TASKS))
    np.testing.assert_array_equal(call(features, images, told, TASKS), before)
    kernel = np.zeros((3, 16), np.float32)
    kernel[0, :8], kernel[0, 8:] = 1.0, 5.0  # twice and five more for task 0 alone
    moved = eqx.tree_at(lambda f: f.film.kernel, features, jnp.asarray(kernel))
    expected = np.where((np.asarray(TASKS) == 0)[:, None], 2 * before + 5, before)
    np.testing.assert_allclose(call(moved, images, told, TASKS), expected, rtol=1e-6)


def test_encoders_by_name(install):
    assert set(ENCODERS.names()) == {"nature", "impala"}
    with pytest.raises(ValueError, match=r"no encoder 'natur': did you mean 'nature'\?"):
        make_encoder("natur", (10, 10, 1), 8, 1.0, key=KEY)
    source = "def blind(shape, width, multiplier, *, key):\n    return {}"
    install("eyes", source, "polytask.encoders", "blind = eyes:blind")
    with pytest.raises(TypeError, match="the encoder 'blind' gave a dict; it has to give a polytask"):
        make_encoder("blind", (10, 10, 1), 8, 1.0, key=KEY)
