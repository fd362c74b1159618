"""Where the wall time of a run goes."""

import contextlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    """Adds the wall time of its body to `seconds[what]`."""
    begin = time.monotonic()
    yield
    seconds[what] += time.monotonic() - begin
