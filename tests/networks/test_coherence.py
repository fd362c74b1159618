"""MT-CP's parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.networks import CBAM, CoherenceFusion, TraceBack

KEY = jax.random.key(0)


def maps(height, width, channels, seed=0):
    return jax.random.normal(jax.random.key(seed), (2, height, width, channels))


def test_attention_only_weakens():
    x = maps(3, 4, 4)
    looked = CBAM(4, reduction=2, side=3, key=KEY)(x)
    assert looked.shape == x.shape
    assert (jnp.abs(looked) <= jnp.abs(x)).all()
    np.testing.assert_array_equal(jnp.sign(looked), jnp.sign(x))


def test_fusion_takes_from_others_and_an_image_does_not_depend_on_another():
    fusion = CoherenceFusion(4, 2, key=KEY)
    x, others = maps(2, 3, 4), [maps(2, 3, 4, 1), maps(2, 3, 4, 2)]
    out = fusion(x, others)
    assert out.shape == x.shape
    assert not np.allclose(out, fusion(x, [others[0], others[1] + 1.0]))
    alone = fusion(x[:1], [other[:1] for other in others])
    np.testing.assert_allclose(out[:1], alone, rtol=1e-4, atol=1e-5)


def test_trace_back_refines_scale_by_scale():
    scales = [maps(2, 3, 6), maps(4, 6, 4, 1), maps(7, 11, 2, 2)]
    found = TraceBack((6, 4, 2), 5, key=KEY)(scales)
    assert [one.shape for one in found] == [(2, 4, 6, 5), (2, 7, 11, 5)]
    other = TraceBack((6, 4, 2), 5, key=KEY)([scales[0] + 1.0, *scales[1:]])
    assert not np.allclose(found[1], other[1]), "the finest looks back to the coarsest"


def test_parts_that_have_nothing_to_join_are_refused():
    with pytest.raises(ValueError, match="at least one other"):
        CoherenceFusion(4, 0, key=KEY)
    with pytest.raises(ValueError, match="two scales"):
        TraceBack((4,), 4, key=KEY)
