"""Golden parity with TorchJD 0.18.0 (see ../shared/goldens/README.md); its numbers are float64, ours float32."""

import jax
import jax.numpy as jnp
import pytest

from polytask.combine import combine_gradients, make_combiner
from tests.combine.cases import KEY, assert_close
from tests.goldens.reference import load

CASES = (
    "aligned_3x8", "mild_4x12", "strong_5x20", "two_opposed", "badly_scaled_4x16", "wide_10x64", "single_1x6",
    "rank_deficient_5x9", "many_20x40",
)  # fmt: skip


@pytest.mark.parametrize("name", ["sum", "mean"])
@pytest.mark.parametrize("case", CASES)
def test_torchjd(name, case):
    golden = load("torchjd_018")
    gradients = jnp.asarray(golden[f"jacobian/{case}"], jnp.float32)
    made = make_combiner(name, scale="paper")
    result = combine_gradients(made, gradients, jnp.ones(len(gradients)), made.init(None, len(gradients)), key=KEY)
    assert_close(jax.device_get(result.gradient), golden[f"{name}/{case}"])
