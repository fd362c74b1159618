"""Named randomness: every draw is a function of (seed, purpose, counter).

There is no generator with a hidden state anywhere in polytask, so saving the counters saves the randomness,
and drawing more for one purpose (say, evaluation) cannot disturb another (training).
"""

import zlib

import jax
import numpy as np


def _purpose_id(purpose: str) -> int:
    return zlib.crc32(purpose.encode())


def key(seed: int, purpose: str, counter: int = 0) -> jax.Array:
    """A JAX key for the `counter`-th draw of `purpose`."""
    return _key(*(np.uint32(word & 0xFFFFFFFF) for word in (seed, _purpose_id(purpose), counter)))


@jax.jit  # one dispatch instead of some twenty, at every step of a training
def _key(seed: jax.Array, purpose: jax.Array, counter: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), purpose), counter)


def generator(seed: int, purpose: str, counter: int = 0) -> np.random.Generator:
    """A NumPy generator for the `counter`-th draw of `purpose`."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, _purpose_id(purpose), counter))))


def integer(seed: int, purpose: str, counter: int = 0) -> int:
    """A seed in [0, 2^31) for code that wants an integer, such as a simulator."""
    state = np.random.SeedSequence((seed, _purpose_id(purpose), counter)).generate_state(1, np.uint32)
    return int(state[0] >> 1)
