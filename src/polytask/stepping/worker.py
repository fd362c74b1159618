"""The far end of the process and the Ray engine: some tasks that are stepped for a training elsewhere.

`python -m polytask.stepping.worker FD` serves them until it is closed. It answers for every task by itself, so that the
engine knows which one was being stepped when a worker dies or hangs. It must not import JAX, which would cost each
worker a second and 200 MB.
"""

import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any


class Served:
    """Some tasks, by their rows, that are stepped for an engine elsewhere.

    `paths` are looked through for modules after those of this process.
    """

    def __init__(self, paths: Sequence[str] = ()) -> None:
        sys.path += [path for path in paths if path not in sys.path]
        self._tasks: dict[int, Any] = {}

    def answer(self, request: str, row: int, argument: Any) -> Any:
        """To "start" with (spec, seed) the first observation, to "step" with an action a Transition; or the text of the
        error that the environment raised."""
        from polytask.stepping.serial import LocalTask, describe

        try:
            if request == "step":
                return self._tasks[row].step(argument)
            if row in self._tasks:
                self._tasks.pop(row).close()
            self._tasks[row] = LocalTask(*argument)
            return self._tasks[row].first()
        except Exception as error:
            return describe(error)

    def answers(self, request: str, arguments: dict[int, Any]) -> dict[int, Any]:
        """One answer for each row."""
        return {row: self.answer(request, row, argument) for row, argument in arguments.items()}


def serve(connection: Connection) -> None:
    """Answers ("start", {row: (spec, seed)}) and ("step", {row: action}) with one (row, answer) for each row."""
    served = Served()
    while True:
        try:
            request, arguments = connection.recv()
        except (EOFError, ConnectionError):
            return  # the engine was closed, or its process has ended
        for row, argument in arguments.items():
            connection.send((row, served.answer(request, row, argument)))


def main() -> None:
    """Serves over the file descriptor that the command line names."""
    # Ctrl-C is for the training process, which saves a checkpoint and then closes its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    sys.path[:] = connection.recv()
    serve(connection)


if __name__ == "__main__":
    main()
