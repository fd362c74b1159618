"""The report of predictors that decide: the learned metric, error against decision quality, the inner residual."""

import json
import re

from rich.console import Console

from polytask.report import render_table, write_report


def seen(page: str) -> str:
    """What a reader reads."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<details>.*?</details>|<[^>]*>", " ", page, flags=re.S))


def test_several_methods_and_seeds_side_by_side(decision_runs, tmp_path):
    page = write_report(decision_runs, tmp_path / "report.html").read_text()
    read = seen(page)
    for said in (
        "The metric that taskmet learned, a mean over the test rows since it depends on the input, a mean over 2 seeds",
        "The metric that taskmet learned by tenths of the true value",
        "taskmet decides best, two-stage has the smallest squared error: small points are seeds",
        "The inner residual, the norm of the predictor",
        "Mean decision quality, to 1k",
        "a shop in the south",
    ):
        assert said in read
    titles = ("stock: quality over error", "The metric that taskmet learned", "Inner residual over steps")
    for title in titles:
        assert page.count(f'aria-label="{title}"') == 2, "one for a wide page, one for a narrow"
    for word in ("environment", "agent", "episode", "replay", "embedding", "accuracy", "Δm"):
        assert word not in read.lower()


def test_a_loss_without_a_metric_has_neither_heat_map_nor_residual(decision_runs, tmp_path):
    read = seen(write_report(decision_runs[2:], tmp_path / "report.html").read_text())
    assert "Decision quality of two-stage against its squared error" in read
    assert "The metric that" not in read
    assert "inner residual" not in read


def test_the_table_says_quality_and_error_in_80_columns(decision_runs, tmp_path):
    console = Console(width=80, record=True)
    render_table(decision_runs, console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert re.search(r"taskmet +│ +2 │ +0\.\d{3} │ 0\.\d{3} to 0\.\d{3} │ +3\.\d\d │", "\n".join(lines))


def test_a_metric_that_does_not_fit_together_is_left_out(decision_runs, tmp_path):
    file = decision_runs[0] / "evaluations.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[-1]["metric"]["weights"] = [1.0]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "The metric that" not in write_report(decision_runs[:1], tmp_path / "report.html").read_text()
