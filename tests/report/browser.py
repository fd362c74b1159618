"""A headless Chromium, spoken to through chromedriver's own HTTP protocol."""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needed = pytest.mark.skipif(
    not (DRIVER and CHROMIUM), reason="needs chromium and chromedriver (Debian: chromium chromium-driver)"
)

ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --disable-background-networking "
    "--disable-component-update --disable-sync --no-first-run"
)

PLACE = """
const [selector, across, down] = arguments;
const shown = [...document.querySelectorAll(selector)].find(e => e.getClientRects().length);
shown.scrollIntoView({block: 'center'});
const box = shown.getBoundingClientRect();
return [box.left + across * box.width, box.top + down * box.height];
"""
FRAMES = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(arguments[0])));"
SEEN = """
return [...document.querySelectorAll(arguments[0])].filter(e => e.getClientRects().length).map(e => e.textContent);
"""


class Browser:
    """One session."""

    def __init__(self, process: subprocess.Popen, profile) -> None:
        found = next(m for line in process.stdout if (m := re.search(r"successfully on port (\d+)", line)))
        self.base = f"http://127.0.0.1:{found[1]}/session"
        options = {"binary": CHROMIUM, "args": [*ARGUMENTS.split(), f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.base += "/" + self.call("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def call(self, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)["value"]

    def open(self, path, width: int) -> None:
        size = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
        self.call("/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})
        # What the browser's own start page asked for does not count.
        self.call("/url", {"url": "about:blank"})
        self.log("performance")
        self.call("/url", {"url": path if isinstance(path, str) else path.as_uri()})

    def run(self, script: str, *arguments):
        return self.call("/execute/sync", {"script": script, "args": list(arguments)})

    def settled(self) -> None:
        """Waits until what a script or a scroll has set off is drawn."""
        self.call("/execute/async", {"script": FRAMES, "args": []})

    def until(self, condition: Callable[[], bool], seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.2)

    def point(self, selector: str, across: float = 0.5, down: float = 0.5, click: bool = False) -> None:
        """Moves the mouse, as a hand would, to a place on the first such element that is seen; `click` presses too."""
        x, y = self.run(PLACE, selector, across, down)
        self.settled()
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0}]
        presses = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}] if click else []
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves + presses}
        self.call("/actions", {"actions": [mouse]})

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        self.point(selector, across, down, click=True)

    def seen(self, selector: str) -> list[str]:
        """The texts of all such elements that have a size."""
        return self.run(SEEN, selector)

    def log(self, kind: str) -> list[dict]:
        return self.call("/se/log", {"type": kind})


@contextmanager
def running(profile: Path) -> Iterator[Browser]:
    """One browser, with a profile of its own."""
    with subprocess.Popen(
        [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            found = Browser(process, profile)
            try:
                yield found
            finally:
                request = urllib.request.Request(found.base, method="DELETE")
                urllib.request.urlopen(request, timeout=60).close()
        finally:
            process.terminate()
