"""Strict JAX, shapes checked at run time in every test, and nothing compiled twice."""

import tempfile

import jax
import jaxtyping

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
_cache = tempfile.TemporaryDirectory(prefix="polytask-tests-")
jax.config.update("jax_compilation_cache_dir", _cache.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jaxtyping.install_import_hook("polytask", "beartype.beartype")
