"""The progress display: readable in 80 columns, and plain lines where there is no terminal."""

import io
import re
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from polytask.runs.progress import Progress, TaskRow, short_names

WORDS = ("button-press-topdown-wall", "plate-slide-back-side", "reach", "door-open", "peg-insert-side")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def rows(count: int) -> list[TaskRow]:
    return [
        TaskRow(f"metaworld/{WORDS[i % len(WORDS)]}-{i}-v3", "success", i / count, 0.5, int(i == 3))
        for i in range(count)
    ]


def rendered(progress: Progress, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(progress)
    return console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("count", [1, 10, 19, 25, 50])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_every_task_is_on_one_screen(count: int, width: int) -> None:
    progress = Progress(100_000, console=Console(file=io.StringIO()))
    progress.update(50_000, 2310.0, rows(count))
    lines = rendered(progress, width)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for index in range(count):
        assert re.search(rf"-{index} +{index / count:.2f} +0\.50", text), index
    assert "step 50,000/100,000  50%  2,310 steps/s" in text
    assert "mean success" in text
    if count > 3:
        assert "environments restarted: door-open-3 1" in text


def test_success_and_return_are_told_apart_and_unknown_is_a_dash() -> None:
    progress = Progress(100, console=Console(file=io.StringIO()))
    progress.update(
        10,
        100.0,
        [
            TaskRow("dmc/cheetah-run", "return", 512.4, None),
            TaskRow("gym/Pendulum-v1", "return", -123_456.0, float("nan")),
            TaskRow("metaworld/reach-v3", "success", 0.4, 1.0),
        ],
    )
    text = "\n".join(rendered(progress))
    assert re.search(r"cheetah-run +512 +-", text)
    assert re.search(r"Pendulum +-123k +-", text)
    assert re.search(r"reach +0\.40 +1\.00", text)
    assert "mean success: eval 0.40 train 1.00   mean return: eval -61k train -" in text


def test_plain_lines_are_rare_short_and_without_control_characters(monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    clock, out = Clock(), io.StringIO()
    with Progress(100_000, console=Console(file=out), clock=clock) as progress:
        for step in range(1000, 100_001, 1000):
            clock.now += 2.5
            progress.update(step, 2310.4, [TaskRow("a", "success", 0.41, 0.5), TaskRow("b", "return", 512.0, 1.0, 2)])
        progress.message("saved in " + "a-long-path/" * 20 + "[bold]")
    lines = out.getvalue().splitlines()
    assert lines[0] == "step 1,000/100,000  2,310 steps/s  left 0:04:08  success 0.41  return 512  restarts 2"
    assert lines[1].startswith("step 5,000/100,000 ")
    assert len(lines) == 27
    assert lines[-2].startswith("step 100,000/100,000  2,310 steps/s  left 0:00:00")
    assert lines[-1] == "saved in " + "a-long-path/" * 20 + "[bold]"
    assert all(character == "\n" or character.isprintable() for character in out.getvalue())


def test_time_left_follows_the_last_ten_minutes_and_a_resumed_run_counts_from_where_it_began() -> None:
    clock = Clock()
    progress = Progress(100_000, start=50_000, console=Console(file=io.StringIO()), clock=clock)
    assert progress.seconds_left() is None
    clock.now += 100
    progress.update(60_000, 100.0)
    assert progress.seconds_left() == pytest.approx(400)
    for step in range(60_100, 70_001, 100):  # ten times slower
        clock.now += 10
        progress.update(step, 10.0)
    assert progress.seconds_left() == pytest.approx(3000)


def test_a_terminal_gets_a_live_display_with_messages_above_it(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    with Progress(100, console=console) as progress:
        progress.update(100, 10.0, rows(10))
        progress.message("checkpoint saved [ok]")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "checkpoint saved [ok]" in text
    assert "step 100/100  100%" in text
    assert "\x1b[?25h" in out.getvalue()  # the cursor is shown again


def test_names_are_short_as_far_as_they_stay_distinct() -> None:
    assert short_names(["metaworld/reach-v3", "dmc/cheetah-run"]) == ["reach", "cheetah-run"]
    assert short_names(["gym/A-v0", "gym/A-v1"]) == ["A-v0", "A-v1"]
    assert short_names(["dmc/reach-v0", "gym/reach-v0"]) == ["dmc/reach-v0", "gym/reach-v0"]


def test_a_notebook_has_one_output_that_is_drawn_again(monkeypatch):
    drawn = []
    handle = SimpleNamespace(update=lambda html: drawn.append(("again", html)))

    def display(html, display_id=False):
        drawn.append(("new", html))
        return handle

    fake = SimpleNamespace(display=display, HTML=lambda text: text)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    clock, out = Clock(), io.StringIO()
    with Progress(100, console=Console(file=out, force_jupyter=True), clock=clock) as progress:
        for step in range(0, 101, 10):
            clock.now += 0.2
            progress.update(step, 5.0, rows(2))
    assert out.getvalue() == ""
    assert [how for how, _ in drawn] == ["new", *["again"] * 4]  # at 0.2, 0.8, 1.4, 2.0 s and at the end
    assert "step 100/100" in drawn[-1][1]
    assert "button-press-topdown-wall-0" in drawn[-1][1]
