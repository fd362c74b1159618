"""Ray: processes on this machine, or on those of a cluster that runs already."""

import contextlib
import importlib.util
import logging
import os
import secrets
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from polytask.machine import cores

_ADDRESS = "RAY_ADDRESS"
_STORE = 256 * 2**20  # bytes: what passes between processes is small


def require() -> None:
    """Raises ModuleNotFoundError, saying how to install it, where there is no Ray."""
    if importlib.util.find_spec("ray") is None:
        raise ModuleNotFoundError("this needs Ray: pip install 'polytask[ray]'", name="ray")


@contextlib.contextmanager
def connected(address: str = "") -> Iterator[ModuleType]:
    """Ray, connected to the cluster at `address` (or to that of RAY_ADDRESS), else started on this machine.

    Where this process is connected already, as in a task of Ray, that connection is taken and left as it is. A Ray that
    is started here has the cores of this process, no dashboard, no port beyond the loopback interface, its files in the
    system's temporary folder, and ends with the body.

    Raises ModuleNotFoundError as `require`, ConnectionError where no cluster answers.
    """
    require()
    address = address or os.environ.get(_ADDRESS, "")
    if not address and "RAY_AUTH_TOKEN_PATH" not in os.environ:  # or Ray writes one into the home folder
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if not address or address.startswith(("127.0.0.1:", "localhost:")):
        # Read while Ray is imported: it then uses the loopback interface alone, which it does by itself on macOS.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # a run's work is what this is for
    import ray

    if ray.is_initialized():
        yield ray
        return
    folder = tempfile.mkdtemp(prefix="polytask-ray-")  # short: the path of a socket has at most 107 characters
    here: dict[str, Any] = {
        "num_cpus": cores(),
        "include_dashboard": False,
        "object_store_memory": _STORE,
        "_temp_dir": folder,
        "_node_ip_address": "127.0.0.1" if sys.platform == "linux" else None,
    }
    try:
        with warnings.catch_warnings():
            # JAX warns of forks beside its threads; these are replaced by other programs at once.
            warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
            where = {} if address else here
            try:
                ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **where)
            except Exception as error:  # of many types, some of them Exception itself
                what = f"no Ray cluster answers at {address}" if address else "Ray did not start on this machine"
                raise ConnectionError(f"{what}: {str(error).strip().splitlines()[0]}") from error
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
