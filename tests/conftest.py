"""Strict JAX, shapes checked at run time in every test, and nothing compiled twice."""

import fcntl
import functools
import gc
import json
import os
import sys
import tempfile
import types
from pathlib import Path

# Tests compile much and compute little, so LLVM's passes cost more than they save. JAX reads this when it starts, also
# in the commands that tests start.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
)

import jax
import jaxtyping
import pytest
from jax._src.interpreters import mlir
from jaxtyping import _decorator

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
_shared = "POLYTASK_TESTS_CACHE"  # the first process makes it, for itself and for the workers that it starts
_cache = None if _shared in os.environ else tempfile.TemporaryDirectory(prefix="polytask-tests-")
if _cache is not None:
    os.environ[_shared] = _cache.name
jax.config.update("jax_compilation_cache_dir", os.environ[_shared])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# For the commands that tests start: they must not touch the user's cache either.
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ[_shared]
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# One context for all programs: to make and load one costs a small program a fifth of its compilation.
mlir.make_ir_context = functools.cache(mlir.make_ir_context)


def _jaxtyped_when_called(*function, jaxtyped=jaxtyping.jaxtyped, **options):
    """jaxtyping's decorator, which works when a function is called first: a worker calls few of those it imports."""
    if not function:
        return functools.partial(_jaxtyped_when_called, **options)
    if not isinstance(function[0], types.FunctionType):
        return jaxtyped(*function, **options)
    checked = functools.cache(lambda: jaxtyped(*function, **options))

    @functools.wraps(*function)
    def called(*args, **kwargs):
        __tracebackhide__ = True
        return checked()(*args, **kwargs)

    return called


jaxtyping.jaxtyped = _decorator.jaxtyped = _jaxtyped_when_called
jaxtyping.install_import_hook("polytask", "beartype.beartype")


def pytest_collection_finish():
    """What is imported by now stays: the collector need not walk it again at every compilation."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _trained_once(name, *arguments):
    """Trains the run of a name, unless another worker has; its folder, and the command's exit code and output."""
    from tests.small import command

    folder = Path(os.environ[_shared]) / f"trained-{name}"
    folder.mkdir(exist_ok=True)
    run, said = folder / "run", folder / "said.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(json.dumps(command("train", *arguments, "--run", str(run), report=True)))
    return run, *json.loads(said.read_text())


@pytest.fixture(scope="session")
def trained():
    """A small run: its folder, and the exit code and output of the command that made it. Not to be written into."""
    from tests.small import TRAINED

    return _trained_once("online", *TRAINED)


@pytest.fixture(scope="session")
def trained_on_data():
    """The same of a supervised run."""
    from tests.supervised.small import TRAINED

    return _trained_once("supervised", *TRAINED)


@pytest.fixture(scope="session")
def trained_run(trained):
    return trained[0]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package of one module for one test: its name, its source, the group and lines of its entry points."""
    modules = []

    def installed(module, source, group, entries):
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        folder = tmp_path / f"{module}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    yield installed
    for module in modules:
        sys.modules.pop(module, None)
