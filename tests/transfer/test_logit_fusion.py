"""Logit fusion: what it gives where the answer is known, and that the exact strength is never worse."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask import random
from polytask.transfer import Expert, LogitFusion, fuse_logits
from polytask.transfer.logit_fusion import GRID, divergences, objective

PAGE = Path(__file__).parents[2] / "docs" / "fusion.md"


def logits(*shape, counter=0, scale=2.0):
    return scale * jax.random.normal(random.key(0, "logits", counter), shape)


def table(steps, vocabulary, counter, scale=2.0):
    """A model that looks its logits up."""
    rows = logits(steps, vocabulary, counter=counter, scale=scale)
    return lambda tokens: rows[tokens]


TOKENS = jnp.arange(6).reshape(2, 3)


@pytest.mark.parametrize("alpha", ["exact", "grid"])
def test_where_the_base_is_the_small_model_the_fusion_is_the_expert(alpha):
    base, tuned = table(6, 11, 0), table(6, 11, 1)
    found = LogitFusion(base, [Expert(tuned, base)], alpha).fuse(TOKENS)
    assert (found.alphas == 1).all()
    np.testing.assert_allclose(found.objective, 0, atol=1e-8)
    np.testing.assert_allclose(jax.nn.softmax(found.logits), jax.nn.softmax(tuned(TOKENS)), rtol=1e-5)


@pytest.mark.parametrize("alpha", ["exact", "grid"])
def test_an_expert_that_tuning_did_not_change_changes_nothing(alpha):
    base, small = table(6, 11, 0), table(6, 11, 1)
    found = LogitFusion(base, [Expert(small, small)], alpha).fuse(TOKENS)
    assert (found.logits == base(TOKENS)).all()
    assert (found.alphas == 0).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_divergences_rise_with_the_strength(scale):
    base, delta = logits(50, 13, scale=scale), logits(50, 13, counter=1, scale=scale)
    moved = jnp.stack([jnp.stack(divergences(base + a * delta, base)) for a in GRID])
    assert (jnp.diff(moved, axis=0) >= -1e-6 * jnp.maximum(1, moved[1:])).all()


@pytest.mark.parametrize("experts", [1, 3])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_the_exact_strength_is_the_best_of_all(scale, experts):
    base, tuned, untuned = logits(200, 17, scale=scale), *logits(2, experts, 200, 17, counter=1, scale=scale)
    exact, grid = (fuse_logits(base, tuned, untuned, alpha) for alpha in ("exact", "grid"))
    assert (exact.objective <= grid.objective).all()
    assert (exact.objective < grid.objective).any()

    def value(alpha):
        return objective(base, tuned, untuned, jnp.full((experts, 200), alpha)).min(0)

    dense = jax.lax.map(value, jnp.linspace(0, 2, 2_001)).min(0)
    np.testing.assert_allclose(exact.objective, jnp.minimum(dense, exact.objective), rtol=1e-3, atol=1e-6 * scale)
    stated = objective(base, tuned, untuned, jnp.moveaxis(exact.alphas, -1, 0))
    chosen = jnp.take_along_axis(stated, exact.alphas.argmax(-1)[None], 0)[0]
    np.testing.assert_allclose(exact.objective, chosen, rtol=1e-3, atol=1e-6 * scale)
    assert ((exact.alphas != 0).sum(-1) <= 1).all()


def test_the_objective_is_that_of_the_paper():
    base, tuned, untuned = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7]), np.array([0.2, 0.2, 0.6])
    fused = base * tuned / untuned
    fused /= fused.sum()

    def kl(p, q):
        return (p * np.log(p / q)).sum()

    expected = (kl(fused, base) - kl(tuned, untuned)) ** 2 + (kl(base, fused) - kl(untuned, tuned)) ** 2
    logs = [jnp.log(p)[None] for p in (base, tuned, untuned)]
    found = objective(logs[0], logs[1][None], logs[2][None], jnp.ones((1, 1)))
    np.testing.assert_allclose(found, [[expected]], rtol=1e-4)


def test_a_fusion_is_a_model_and_steps_are_fused_alone():
    base, first, second = (table(6, 5, i) for i in range(3))
    inner = LogitFusion(base, [Expert(first, second), Expert(second, first)], "grid")
    outer = jax.jit(LogitFusion(inner, [Expert(first, second)], "grid"))
    both = outer(TOKENS)
    assert both.shape == (2, 3, 5)
    np.testing.assert_allclose(both[:1, :1], outer(TOKENS[:1, :1]), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_fused_is_refused():
    base, small, other = table(6, 5, 0), table(6, 5, 1), table(6, 7, 2)
    with pytest.raises(ValueError, match="at least one expert"):
        LogitFusion(base, [])
    with pytest.raises(ValueError, match=r"expert 1, untuned model gives logits of shape \(2, 3, 7\)"):
        LogitFusion(base, [Expert(small, other)])(TOKENS)
    with pytest.raises(ValueError, match=r"expert 1, tuned model differs.*token 1 is 'c', the base's is 'b'"):
        LogitFusion(base, [Expert(small, small)], vocabularies=["abd", "acd", "abd"])
    with pytest.raises(ValueError, match=r"4 tokens, the base's 3"):
        LogitFusion(base, [Expert(small, small)], vocabularies=["abd", "abd", "abde"])
    with pytest.raises(ValueError, match="2 vocabularies for 3 models"):
        LogitFusion(base, [Expert(small, small)], vocabularies=["abd", "abd"])


def test_the_page_runs():
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, PAGE.name, "exec"), {})
