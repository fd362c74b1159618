"""The report that is served on loopback, and follows a run."""

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from polytask.commands.report import report
from polytask.report import live
from tests.report import browser as chromium


@pytest.fixture
def served(monkeypatch):
    """Serves the report about some runs, and gives its address."""
    monkeypatch.setattr(live, "_REST", 0)
    servers = []

    def serve(*runs) -> str:
        servers.append(live.server(runs))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.05}).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield serve
    for one in servers:
        one.shutdown()
        one.server_close()


def got(address: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=300) as answer:
        return answer.read().decode()


def test_a_folder_without_records_says_so_and_then_its_report_comes(tmp_path, served):
    address = served(tmp_path)
    assert "is not a run folder" in got(address)
    version = got(f"{address}version")
    assert version in got(address)
    (tmp_path / "config.json").write_text("{}")
    assert got(f"{address}version") != version
    page = got(address)
    assert "metrics.jsonl is missing" in page
    assert "connect-src 'self'" in page


@pytest.mark.parametrize(("path", "host", "code"), [("config.json", None, 404), ("", "elsewhere.org", 403)])
def test_nothing_else_is_served_and_to_nobody_else(tmp_path, served, path, host, code):
    address = served(tmp_path)
    with pytest.raises(urllib.error.HTTPError) as error:
        got(address + path, **({"Host": host} if host else {}))
    with error.value as answer:
        assert answer.code == code


def test_a_page_is_not_made_again_before_it_has_rested(tmp_path, monkeypatch):
    newest = live._Newest([tmp_path])
    monkeypatch.setattr(live, "_REST", 1e9)
    first = newest.now()
    (tmp_path / "config.json").write_text("{}")
    assert newest.now() == first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent", "--live"], "there is no folder absent"),
        (["a", "--live", "--out", "b"], "writes no file"),
        (["a", "--port", "1"], "add --live"),
    ],
)
def test_what_cannot_be_is_said_at_once(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        report(arguments)


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(run_folder, specs):
    run = run_folder("a", specs.gym(), evaluations=1)
    # Where the tests run in the background, processes ignore Ctrl-C until they say otherwise.
    script = (
        "import signal, sys; from polytask.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "report", "--live", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split()[0]
            assert "gym/Pendulum-v1" in got(address)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, error) == (0, "")


@pytest.mark.slow
@chromium.needed
def test_an_open_page_follows_the_run_and_keeps_what_was_clicked(browser, run_folder, specs, served):
    run = run_folder("a", specs.dmc(["dog-walk", "dog-run"]), evaluations=2)
    address = served(run)
    assert "dog-run" in got(address)
    browser.open(address, 1200)
    browser.click('#results tr[data-task="dog-run"] th')
    browser.click("#config details summary")
    assert browser.seen(".controls output") == ["100,000, the last"]
    records = run / "evaluations.jsonl"
    line = json.loads(records.read_text().splitlines()[-1])
    records.write_text(records.read_text() + json.dumps(line | {"step": 150_000}) + "\n")
    browser.until(lambda: browser.seen(".controls output") == ["150,000, the last"])
    assert browser.seen("[data-pick]") == ["dog-run ×"]
    assert browser.seen("#results tr.picked")
    assert browser.seen("#config details[open]")
    assert [e["message"] for e in browser.log("browser")] == []
