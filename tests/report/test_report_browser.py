"""The report in a real browser: loads, asks for nothing, and fits a desk and a phone."""

import json

import pytest

from polytask.report import write_report
from tests.report import browser as chromium

pytestmark = chromium.needed

MEASURE = """
const figures = [...document.querySelectorAll('figure')].filter(f => !f.closest('details:not([open])'));
const visible = e => { const r = e.getBoundingClientRect(); return r.width > 40 && r.height > 10; };
const content = f => [...f.querySelectorAll('svg, table, .split')].filter(visible);
const leaves = [...document.querySelectorAll('body *')].filter(
  e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().width > 0);
return {
  figures: figures.length,
  empty: figures.filter(f => !visible(f) || content(f).length === 0).map(f => f.textContent.slice(0, 80)),
  captions: figures.filter(f => f.querySelector('figcaption').textContent.trim().endsWith('.')).length,
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  wide: leaves.filter(e => e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.outerHTML.slice(0, 80)),
  smallest: Math.min(...[...document.querySelectorAll('svg')].filter(visible).map(
    s => 10 * s.getBoundingClientRect().width / s.viewBox.baseVal.width)),
  resources: performance.getEntriesByType('resource').map(r => r.name),
};
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("which", ["seeds", "compared", "young"])
def test_it_loads_silently_and_fits(browser, run_folder, tmp_path, which, width):
    runs = {
        "seeds": lambda: [run_folder(f"s{i}", seed=i) for i in range(2)],
        "compared": lambda: [run_folder("a"), run_folder("b", kind="sac", a_setting_with_a_long_name="x" * 90)],
        "young": lambda: [run_folder("a", evaluations=1)],
    }[which]()
    report = write_report(runs, tmp_path / "report.html")
    browser.open(report, width)
    found = browser.run(MEASURE)
    assert found["figures"] >= 6
    assert found["empty"] == []
    assert found["captions"] == found["figures"]
    assert found["overflow"] <= 0
    assert found["wide"] == []
    assert found["smallest"] >= 8.5, "the smallest text of a chart, in pixels"
    assert found["resources"] == []
    assert [e["message"] for e in browser.log("browser")] == []
    sent = [json.loads(e["message"])["message"] for e in browser.log("performance")]
    asked = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert asked.count(report.as_uri()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
def test_a_report_of_a_training_from_data_loads_silently_and_fits(browser, data_runs, tmp_path, width):
    browser.open(write_report(data_runs, tmp_path / "report.html"), width)
    found = browser.run(MEASURE)
    assert found["figures"] >= 5
    assert found["empty"] == found["wide"] == found["resources"] == []
    assert found["captions"] == found["figures"]
    assert found["overflow"] <= 0
    assert found["smallest"] >= 8.5, "the smallest text of a chart, in pixels"
    assert [e["message"] for e in browser.log("browser")] == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
def test_a_report_of_decisions_loads_silently_and_fits(browser, decision_runs, tmp_path, width):
    browser.open(write_report(decision_runs, tmp_path / "report.html"), width)
    found = browser.run(MEASURE)
    assert found["figures"] >= 7
    assert found["empty"] == found["wide"] == found["resources"] == []
    assert found["captions"] == found["figures"]
    assert found["overflow"] <= 0
    assert found["smallest"] >= 8.5, "the smallest text of a chart, in pixels"
    assert [e["message"] for e in browser.log("browser")] == []
