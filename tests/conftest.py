"""Strict JAX, shapes checked at run time in every test, and nothing compiled twice."""

import os
import tempfile

import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
_cache = tempfile.TemporaryDirectory(prefix="polytask-tests-")
jax.config.update("jax_compilation_cache_dir", _cache.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# For the commands that tests start: they must not touch the user's cache either.
os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
jaxtyping.install_import_hook("polytask", "beartype.beartype")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A small run: its folder, and the exit code and output of the command that made it. Not to be written into."""
    from tests.small import AGENT, EVERY, PLANE, POINT, command

    run = tmp_path_factory.mktemp("trained") / "run"
    return run, *command("train", POINT, PLANE, *AGENT, *EVERY, "--steps", "120", "--run", str(run))


@pytest.fixture(scope="session")
def trained_run(trained):
    return trained[0]
