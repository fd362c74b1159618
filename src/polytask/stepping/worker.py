"""The far end of the process engine: `python -m polytask.stepping.worker FD` serves some tasks until it is closed.

It answers for every task by itself, so that the engine knows which one was being stepped when a worker dies or hangs.
It must not import JAX, which would cost each worker a second and 200 MB.
"""

import signal
import sys
from multiprocessing.connection import Connection
from typing import Any


def serve(connection: Connection) -> None:
    """Answers ("start", {row: (spec, seed)}) and ("step", {row: action}) with one (row, answer) for each row.

    An answer is an observation or a Transition, or the text of the error that an environment raised.
    """
    from polytask.stepping.serial import LocalTask, describe

    tasks: dict[int, LocalTask] = {}

    def start(row: int, argument: Any) -> Any:
        if row in tasks:
            tasks.pop(row).close()
        tasks[row] = LocalTask(*argument)
        return tasks[row].first()

    while True:
        try:
            request, arguments = connection.recv()
        except (EOFError, ConnectionError):
            return  # the engine was closed, or its process has ended
        for row, argument in arguments.items():
            try:
                answer = start(row, argument) if request == "start" else tasks[row].step(argument)
            except Exception as error:
                answer = describe(error)
            connection.send((row, answer))


def main() -> None:
    """Serves over the file descriptor that the command line names."""
    # Ctrl-C is for the training process, which saves a checkpoint and then closes its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    sys.path[:] = connection.recv()
    serve(connection)


if __name__ == "__main__":
    main()
