"""Dynamic logit fusion: small tuned models steer a large one at inference, each step with a strength of its own.

Fan et al. 2024 (arXiv 2406.15480). No labels and no weights of the large model are needed, only logits.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Model = Callable[[Int[Array, "..."]], Float[Array, "... vocabulary"]]
"""A function from tokens to the logits of what comes next, for each step that is asked for."""

Alpha = Literal["exact", "grid"]

LARGEST = 2.0
GRID = tuple(i / 10 for i in range(21))
"""The strengths that the paper searches: 0 to 2 in steps of 0.1."""

_GOLDEN = (5**0.5 - 1) / 2
_ROUNDS = 32  # of the golden section: two cells of 0.1 become less than float32 can tell apart


class Expert(NamedTuple):
    """A small model after and before it was tuned to a task; their difference is what the large model is given."""

    tuned: Model
    untuned: Model


class Fused(NamedTuple):
    """A step's fusion.

    - `logits`: those of the fused model.
    - `alphas`: the strength of each expert in [0, 2]; at most one is not 0.
    - `objective`: what the strengths minimise, in nats squared.
    """

    logits: Float[Array, "*steps vocabulary"]
    alphas: Float[Array, "*steps experts"]
    objective: Float[Array, "*steps"]


class LogitFusion:
    """One large model and any number of small experts as one model: tokens -> logits.

    It is a `Model` itself, so it can be decoded, measured, or fused again. Works under `jit` where its models do.

    - `alpha`: "exact", the minimiser of the objective over [0, 2]; "grid", the best of `GRID`, as in the paper.
    - `vocabularies`: optionally the tokens of each model in the order of its logits: the base's, then for each expert
      the tuned and the untuned model's. They are compared, and not kept.

    Raises ValueError without an expert, for vocabularies that differ, and, when it is called, for logits of other
    numbers.
    """

    def __init__(
        self,
        base: Model,
        experts: Sequence[Expert],
        alpha: Alpha = "exact",
        vocabularies: Sequence[Sequence[str]] = (),
    ) -> None:
        if not experts:
            raise ValueError("a fusion needs at least one expert: Expert(tuned, untuned)")
        if alpha not in ("exact", "grid"):
            raise ValueError(f"alpha is 'exact' or 'grid', not '{alpha}'")
        self._names = ["base", *(f"expert {i + 1}, {which}" for i in range(len(experts)) for which in Expert._fields)]
        if vocabularies:
            self._check(vocabularies)
        self._base, self._experts = base, list(experts)
        self._alpha: Alpha = alpha

    def __call__(self, tokens: Int[Array, "..."]) -> Float[Array, "... vocabulary"]:
        """The fused logits."""
        return self.fuse(tokens).logits

    def fuse(self, tokens: Int[Array, "..."]) -> Fused:
        """The fused logits, and how strong each expert was at each step."""
        logits = [model(tokens) for model in (self._base, *(model for expert in self._experts for model in expert))]
        for name, one in zip(self._names, logits, strict=True):
            if one.shape != logits[0].shape:
                raise ValueError(
                    f"the {name} model gives logits of shape {one.shape}, the base {logits[0].shape}: all models of a "
                    "fusion need one vocabulary and the same steps; map the logits onto the base's tokens first"
                )
        return fuse_logits(logits[0], jnp.stack(logits[1::2]), jnp.stack(logits[2::2]), self._alpha)

    def _check(self, vocabularies: Sequence[Sequence[str]]) -> None:
        if len(vocabularies) != len(self._names):
            raise ValueError(
                f"{len(vocabularies)} vocabularies for {len(self._names)} models: {', '.join(self._names)}"
            )
        base = list(vocabularies[0])
        for name, other in zip(self._names, map(list, vocabularies), strict=True):
            if other == base:
                continue
            if len(other) != len(base):
                what = f"{len(other)} tokens, the base's {len(base)}"
            else:
                first = next(i for i, pair in enumerate(zip(other, base, strict=True)) if pair[0] != pair[1])
                what = f"token {first} is {other[first]!r}, the base's is {base[first]!r}"
            raise ValueError(
                f"the vocabulary of the {name} model differs from the base's ({what}): logits can be added only over "
                "the same tokens in the same order; tune experts with the base's tokenizer"
            )


def fuse_logits(
    base: Float[Array, "*steps vocabulary"],
    tuned: Float[Array, "experts *steps vocabulary"],
    untuned: Float[Array, "experts *steps vocabulary"],
    alpha: Alpha = "exact",
) -> Fused:
    """base + alpha_e (tuned_e - untuned_e) with the expert e and the alpha that `objective` chooses, for each step.

    "exact" refines the best point of the grid of each expert by the golden section within its two cells, and keeps it
    where it is better: it is never worse than "grid". Ties go to the smaller alpha and to the earlier expert.

    Logits that forbid a token are large and negative, not -inf, which has no difference.
    """
    deltas = tuned - untuned
    moved = jnp.stack(divergences(tuned, untuned))  # of each expert, (2, experts, *steps)
    grid = jnp.asarray(GRID, base.dtype)

    def value(alphas: Float[Array, "experts *steps"]) -> Float[Array, "experts *steps"]:
        return _objective(base, deltas, moved, alphas)

    on_grid = jax.lax.map(lambda a: value(jnp.full(deltas.shape[:-1], a)), grid)
    alphas, values = grid[on_grid.argmin(0)], on_grid.min(0)
    if alpha == "exact":
        alphas, values = _refined(value, alphas, values)
    best = values.argmin(0)
    chosen = jnp.moveaxis(jax.nn.one_hot(best, len(deltas), dtype=base.dtype), -1, 0) * alphas
    return Fused(base + (chosen[..., None] * deltas).sum(0), jnp.moveaxis(chosen, 0, -1), values.min(0))


def objective(
    base: Float[Array, "*steps vocabulary"],
    tuned: Float[Array, "experts *steps vocabulary"],
    untuned: Float[Array, "experts *steps vocabulary"],
    alphas: Float[Array, "experts *steps"],
) -> Float[Array, "experts *steps"]:
    """How far each strength, of its expert alone, is from moving the base as far as the experts moved:

    sum over experts t of (KL(P'||P) - KL(Q_t||Q))^2 + (KL(P||P') - KL(Q||Q_t))^2, where P is the base, P' the fused
    model, Q and Q_t the small model before and after it was tuned.
    """
    return _objective(base, tuned - untuned, jnp.stack(divergences(tuned, untuned)), alphas)


def divergences(
    p: Float[Array, "*steps vocabulary"], q: Float[Array, "*steps vocabulary"]
) -> tuple[Float[Array, "*steps"], Float[Array, "*steps"]]:
    """KL(P||Q) and KL(Q||P) in nats, from logits."""
    log_p, log_q = jax.nn.log_softmax(p), jax.nn.log_softmax(q)
    gap = log_p - log_q
    return (jnp.exp(log_p) * gap).sum(-1), -(jnp.exp(log_q) * gap).sum(-1)


def _objective(base: Array, deltas: Array, moved: Array, alphas: Array) -> Array:
    """Both divergences rise with alpha, so that all minima over alpha lie between where each meets its target."""
    fused = base[None] + alphas[..., None] * deltas
    there = jnp.stack(divergences(fused, jnp.broadcast_to(base[None], fused.shape)))
    return jnp.square(there[:, None] - moved[:, :, None]).sum((0, 1))


def _refined(value: Callable[[Array], Array], alphas: Array, values: Array) -> tuple[Array, Array]:
    """The golden section around each alpha; where it finds nothing better, what was given."""
    cell = LARGEST / (len(GRID) - 1)
    low, high = jnp.maximum(alphas - cell, 0), jnp.minimum(alphas + cell, LARGEST)

    def narrower(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        leftwards = value(left) <= value(right)
        return jnp.where(leftwards, low, left), jnp.where(leftwards, right, high)

    low, high = jax.lax.fori_loop(0, _ROUNDS, narrower, (low, high))
    middle = (low + high) / 2
    found = value(middle)
    better = found < values
    return jnp.where(better, middle, alphas), jnp.where(better, found, values)
