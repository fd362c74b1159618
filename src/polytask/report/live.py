"""A report on this machine's loopback that follows runs while they train."""

import hashlib
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from polytask.report import html
from polytask.report.page import render

HOST = "127.0.0.1"
_REST = 10  # a page is made anew after so many times the time that making it took, so that training keeps the machine


def server(runs: Sequence[Path], port: int = 0) -> ThreadingHTTPServer:
    """A server of the report about `runs` at a port of 127.0.0.1, a free one for 0; `serve_forever` starts it.

    The report is made anew when it is asked for and a run has written since.
    Raises ValueError if a folder is not there, OSError if the port cannot be had.
    """
    absent = [str(run) for run in runs if not run.is_dir()]
    if absent:
        raise ValueError(f"there is no folder {', '.join(absent)}; start the training first, or give its run folder")
    newest = _Newest(runs)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Other pages of the browser reach this port too, under names of their own.
            own = {f"{name}:{serving.server_port}" for name in (HOST, "localhost")}
            if self.headers.get("Host") not in own:
                self.send_error(403)
            elif self.path == "/":
                self._answer("text/html", newest.now()[1])
            elif self.path == "/version":
                self._answer("text/plain", newest.now()[0])
            else:
                self.send_error(404)

        def _answer(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            for name, value in (
                ("Content-Type", f"{kind}; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    serving = ThreadingHTTPServer((HOST, port), Handler)
    return serving


class _Newest:
    """The newest page, and the version of the records that it is of."""

    def __init__(self, runs: Sequence[Path]) -> None:
        self._runs = runs
        self._lock = threading.Lock()
        self._version, self._page, self._next = "", "", 0.0

    def now(self) -> tuple[str, str]:
        with self._lock:
            version, began = _version(self._runs), time.monotonic()
            if version != self._version and began >= self._next:
                self._version, self._page = version, _page(self._runs, version)
                self._next = time.monotonic() + _REST * (time.monotonic() - began)
            return self._version, self._page


def _version(runs: Sequence[Path]) -> str:
    """Another one whenever a run has written a record."""
    files = [file for run in runs for file in sorted(run.glob("[!.]*.json*"))]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:16]


def _page(runs: Sequence[Path], version: str) -> str:
    try:
        return render(runs, live=version)
    except ValueError as error:  # young runs have nothing to report yet
        body = f"<header><h1>Nothing to report yet</h1>{html.paragraph(str(error))}</header><nav></nav>"
        return html.page("polytask", body, {"series": [], "live": version})
