"""Ctrl-C as a wish."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stop_signal(announce: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop at the end of the step; a second one acts as usual.

    Outside the main thread, where Python takes no signals, there is no such wish.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[signal.Signals(number)])
        announce("stopping after this step, with a checkpoint; Ctrl-C again stops at once, without one")

    for number in signals:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
