"""What a reader does with the report, done by mouse and keyboard in a real browser."""

import json

import pytest

from polytask.report import write_report
from tests.report import browser as chromium
from tests.report.conftest import make_run, metaworld

pytestmark = [chromium.needed, pytest.mark.slow]

TASKS = ["reach-v3", "push-v3", "pick-place-v3", "door-open-v3"]
LOOK = "return [...document.querySelectorAll(arguments[0])].map(e => getComputedStyle(e)[arguments[1]])"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of BRC and one of SAC."""
    folder = tmp_path_factory.mktemp("explored")
    methods = [("brc", 0), ("brc", 1), ("sac", 0)]
    specs = metaworld(TASKS)
    return [make_run(folder / f"{kind}{seed}", specs, seed, evaluations=5, kind=kind) for kind, seed in methods]


@pytest.fixture(scope="module")
def report(runs, tmp_path_factory):
    return write_report(runs, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def page(browser, report):
    browser.open(report, 1200)
    yield browser
    assert [e["message"] for e in browser.log("browser")] == []


def last_score(runs, task: str) -> float:
    lines = [json.loads(run.joinpath("evaluations.jsonl").read_text().splitlines()[-1]) for run in runs]
    return sum(line["task"]["score"][task] for line in lines) / len(lines)


def test_a_chart_says_its_values_under_the_mouse(page, runs):
    page.point('#tasks div[data-task="push"] svg', 0.83, 0.5)
    (said,) = page.seen("#tip")
    assert said.startswith("push, step 100,000")
    assert f"agent.kind=sac{last_score(runs[2:], 'metaworld/push-v3'):.3g}" in said
    assert f"agent.kind=brc{last_score(runs[:2], 'metaworld/push-v3'):.3g}" in said
    assert len(page.seen(".guide")) > 5
    page.point("h1")
    assert page.seen("#tip") == page.seen(".guide") == []


def test_a_cell_says_its_value_under_the_mouse(page):
    page.point("#heat td")
    (said,) = page.seen("#tip")
    assert ", 20k steps: " in said


def test_a_click_on_a_task_marks_it_everywhere_and_a_second_one_nowhere(page):
    page.click('#results tr[data-task="push"] th')
    page.click("#training details summary")
    assert all(page.seen(f"#{section} .picked") for section in ("results", "tasks", "heat", "training", "embedding"))
    assert page.run(LOOK, '#heat tr[data-task="reach"]', "opacity")[0] == "0.3"
    assert page.run(LOOK, '#heat tr[data-task="push"]', "opacity")[0] == "1"
    assert len(page.seen("#learning .overlay")) >= 2
    assert page.seen("[data-pick]") == ["push ×"]
    page.click('#heat tr[data-task="push"] td')
    assert page.seen(".picked, .overlay, [data-pick]") == []
    page.click('#tasks div[data-task="reach"]')
    page.click("[data-pick]")
    assert page.seen(".picked") == []


def test_a_click_on_a_thin_line_picks_its_task(page):
    page.click("#training details summary")
    place = """
      const group = document.querySelector('#training details[open] g[data-thin][data-task="door-open"] path');
      const svg = group.closest('svg'), points = group.getTotalLength();
      const at = group.getPointAtLength(0.7 * points), box = svg.viewBox.baseVal;
      svg.id = 'clicked';
      return [at.x / box.width, at.y / box.height];
    """
    across, down = page.run(place)
    page.click("#clicked", across, down)
    assert page.seen("[data-pick]") == ["door-open ×"]


def test_methods_and_seeds_go_off_and_on(page):
    own = ("#learning g[data-method='1']", "#results [data-method='1']", "#heat [data-method='1']")
    assert all(page.seen(s) for s in own)
    page.click("[data-switch='1']")
    assert not any(page.seen(s) for s in own)
    assert page.seen("#learning g[data-method='0']")
    page.click("[data-switch='1']")
    assert all(page.seen(s) for s in own)
    seeds = "#learning g[data-method='0'][data-seed='{}']"
    page.click("[data-switch='0/1']")
    assert not page.seen(seeds.format(1))
    assert page.seen(seeds.format(0))
    assert page.seen("#learning g[data-method='0']:not([data-seed])")


def test_the_slider_goes_back_in_steps_and_paper_has_the_end(page, runs):
    first = "#results tr[data-task='reach'] .score[data-method='1']"
    lines = [json.loads(x) for x in runs[2].joinpath("evaluations.jsonl").read_text().splitlines()]
    scores = [f"{line['task']['score']['metaworld/reach-v3']:.2f}" for line in lines]
    assert page.seen(first)[0] == scores[-1]
    page.click(".controls input[type=range]", 0.02)
    assert page.seen(".controls output") == ["20,000"]
    assert page.seen(first)[0] == scores[0]
    assert page.seen("td.now")
    assert page.seen(".guide")
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.seen(first)[0] == scores[-1]
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.seen(first)[0] == scores[0]
    page.click(".controls input[type=range]", 0.99)
    assert page.seen(first)[0] == scores[-1]
    assert page.seen("td.now, .guide") == []


def test_colours_follow_the_system_and_paper_is_light(page):
    def stroke() -> str:
        return page.run(LOOK, "#learning g[data-method='0'][data-low] path", "stroke")[0]

    def emulate(media: str, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.call(
            "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"media": media, "features": features}}
        )

    try:
        assert stroke() == "rgb(0, 103, 165)"
        emulate("screen", "dark")
        assert stroke() == "rgb(98, 182, 242)"
        emulate("print", "dark")
        assert stroke() == "rgb(0, 103, 165)"
        assert page.seen(".controls") == []
    finally:
        emulate("", "light")


def test_decisions_say_their_numbers_and_go_off_with_their_method(browser, decision_runs, tmp_path):
    browser.open(write_report(decision_runs, tmp_path / "report.html"), 1200)
    browser.point("#decisions g[data-name='two-stage'][data-tip]")
    (said,) = browser.seen("#tip")
    assert said.startswith("two-stage, the mean: quality 0.5")
    rest = len(browser.seen("#decisions g[data-name='taskmet']"))
    browser.click("[data-switch='1']")
    assert browser.seen("#decisions [data-name='two-stage'], #decisions tr[data-method='1']") == []
    assert len(browser.seen("#decisions g[data-name='taskmet']")) == rest > 3
    assert [e["message"] for e in browser.log("browser")] == []
