"""Golden parity with TorchJD 0.18.0 (see ../shared/goldens/README.md); its numbers are float64, ours float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import combine_gradients, make_combiner
from tests.combine.cases import KEY, assert_close
from tests.goldens.reference import load

CASES = (
    "aligned_3x8", "mild_4x12", "strong_5x20", "two_opposed", "badly_scaled_4x16", "wide_10x64", "single_1x6",
    "rank_deficient_5x9", "many_20x40",
)  # fmt: skip


@jax.jit
def combined(gradients):
    """By name, as one program."""
    found, losses = {}, jnp.ones(len(gradients))
    for name in ("sum", "mean"):
        made = make_combiner(name, scale="paper")
        state = made.init(None, len(gradients))
        found[name] = combine_gradients(made, gradients, losses, state, key=KEY).gradient
    return found


@pytest.mark.parametrize("case", CASES)
def test_torchjd(case):
    golden = load("torchjd_018")
    for name, gradient in jax.device_get(combined(np.float32(golden[f"jacobian/{case}"]))).items():
        assert_close(gradient, golden[f"{name}/{case}"], message=name)
