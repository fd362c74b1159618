"""The report as a file: self-contained, complete, and honest about what is missing."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from polytask.report import plot, write_report
from polytask.report.embedding import cluster_order, cosines, principal_plane
from polytask.report.figures import metric_panel, steps_and_values
from polytask.report.plot import apart, chart
from tests.report.conftest import make_run, metaworld

SECTIONS = ("results", "learning", "tasks", "heat", "training", "embedding", "system", "config")


def text_of(html: str) -> str:
    html = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.fixture
def written(tmp_path):
    """Writes a report and gives its HTML."""

    def write(*runs) -> str:
        out = tmp_path / "report.html"
        assert write_report(list(runs), out) == out
        return out.read_text()

    return write


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run with its report in it, and how writing that changed matplotlib's settings. Not to be written into."""
    run, before = make_run(tmp_path_factory.mktemp("alone") / "a", metaworld()[:3]), dict(matplotlib.rcParams)
    write_report([run], run / "report.html")
    return run, before, dict(matplotlib.rcParams)


@pytest.fixture(scope="module")
def alone_html(alone):
    return (alone[0] / "report.html").read_text()


@pytest.fixture(scope="module")
def compared_html(tmp_path_factory):
    """The report of two agents with two seeds each."""
    folder = tmp_path_factory.mktemp("compared")
    methods = [(kind, seed) for kind in ("brc", "sac") for seed in range(2)]
    runs = [make_run(folder / f"{kind}{seed}", metaworld()[:3], seed, kind=kind) for kind, seed in methods]
    return write_report(runs, folder / "report.html").read_text()


def test_several_seeds(run_folder, written):
    html = written(*(run_folder(f"s{i}", seed=i) for i in range(3)))
    assert all(f'<section id="{s}">' in html for s in SECTIONS)
    said = text_of(html)
    assert "over 3 seeds" in said
    assert "BRC MT50, published, stands at 0.92" in said
    assert "The protocols differ" in said
    assert "one frozen goal per task" in said
    assert "95 % stratified-bootstrap intervals" in said
    assert "metaworld/pick-place-v3 3" in said
    assert 'class="missing"' not in html


@pytest.mark.slow
def test_averaged_weights_are_told_where_published_runs_stand_beside(run_folder, written):
    runs = [run_folder("a"), run_folder("b", seed=1)]
    assert "weights averaged" not in text_of(written(*runs))
    for run, window in zip(runs, (1000, [3]), strict=True):
        file = run / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"policy_average": window}))
    assert "weights averaged over 1,000 steps. BRC MT50, published" in text_of(written(*runs))


def test_one_seed_has_no_band_and_says_so(alone_html):
    said = text_of(alone_html)
    assert "one seed, so no interval over seeds" in said
    assert "There is one seed, so no band." in said
    assert "over the episodes of this evaluation (Wilson), not over seeds" in said


def test_methods_are_compared(compared_html):
    said = text_of(compared_html)
    assert '<section id="comparison">' in compared_html
    assert "agent.kind=sac" in said
    assert "P(better than agent.kind=brc)" in said
    assert "Δm" not in said


def test_multi_against_single_task_training(run_folder, written, specs):
    runs = [run_folder("multi", specs.dmc()), *(run_folder(s.name[4:], [s]) for s in specs.dmc())]
    said = text_of(written(*runs))
    assert "Δm against single-task" in said
    assert "BRC single-task, published" in said
    assert "Single-task agents have no task embedding." in said


def test_tasks_without_a_score_are_named_and_their_returns_shown(run_folder, written, specs):
    said = text_of(written(run_folder("a", [*specs.dmc(["cheetah-run", "walker-walk"]), *specs.gym()])))
    assert "Left out, for want of a score that all methods have: Pendulum-v1." in said
    assert "each on its own scale" in said


def test_only_returns(run_folder, written, specs):
    said = text_of(written(run_folder("a", specs.gym(["A-v0", "B-v0", "C-v0"]))))
    assert "no common scale" in said
    assert "There is no aggregate curve" in said
    assert "There is no heat map" in said


def test_one_evaluation(run_folder, written, specs):
    said = text_of(written(run_folder("a", specs.metaworld()[:2], evaluations=1)))
    assert "the one evaluation so far" in said


def test_no_evaluation(run_folder, written, specs):
    said = text_of(written(run_folder("a", specs.metaworld()[:2], evaluations=0)))
    assert "No evaluation has been recorded yet" in said
    assert "Critic loss" in said


def test_a_bare_config_still_makes_a_report(tmp_path, written):
    run = tmp_path / "bare"
    run.mkdir()
    (run / "config.json").write_text("{}")
    html = written(run)
    assert all(f'<section id="{s}">' in html for s in SECTIONS)
    assert "metrics.jsonl is missing" in html


@pytest.mark.slow
def test_fifty_tasks(run_folder, written, specs):
    html = written(run_folder("a", specs.metaworld([f"task-number-{i}-v3" for i in range(50)])))
    assert html.count('aria-label="task-number-') == 50


def test_nothing_from_a_run_is_taken_for_html(run_folder, written, specs):
    evil = '<script>alert("x")</script>&$x$'
    html = written(run_folder("a", specs.gym([f"{evil}{i}" for i in range(2)]), note=evil))
    assert html.count("<script") == 1
    assert "&lt;script&gt;" in html


def test_the_file_needs_nothing_else(alone_html):
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#|data:)""", alone_html)
    assert "@import" not in alone_html
    assert "url(http" not in alone_html
    assert "default-src 'none'" in alone_html


def test_the_only_script_that_may_run_is_the_small_one_in_the_file(alone_html):
    (script,) = re.findall(r"<script>(.*?)</script>", alone_html, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in alone_html
    assert len(script) < 30_000


def test_the_page_holds_the_numbers_behind_its_lines(alone, alone_html):
    lines = [json.loads(line) for line in (alone[0] / "evaluations.jsonl").read_text().splitlines()]
    wanted = [line["task"]["score"]["metaworld/push-v3"] for line in lines]
    found = re.search(r'data-method="0" data-task="push" data-steps="([^"]*)" data-values="([^"]*)"', alone_html)
    assert list(map(float, found[2].split(","))) == pytest.approx(wanted, rel=1e-3)
    first, apart, count = map(int, found[1].split(":"))
    assert [first + apart * i for i in range(count)] == [line["step"] for line in lines]


def test_numbers_of_long_and_of_broken_lines():
    values = np.arange(1001.0)
    values[1000] = np.nan
    svg = metric_panel([steps_and_values(np.arange(1001) ** 2, values)], None, (), 10**6, "loss")
    steps, kept = (re.search(f' data-{name}="([^"]*)"', svg)[1].split(",") for name in ("steps", "values"))
    assert len(steps) == len(kept) <= 200
    assert (steps[-1], kept[-1]) == ("1000000", "")
    assert [int(s) for s in steps[:-1]] == [int(v) ** 2 for v in map(float, kept[:-1])]
    assert "data-values" in metric_panel([steps_and_values(np.arange(1), np.ones(1))], None, (), 1, "one")


def test_every_task_is_marked_where_it_is_shown(alone_html):
    for section in ("results", "tasks", "heat", "training", "embedding"):
        part = alone_html.partition(f'<section id="{section}">')[2].partition("</section>")[0]
        assert set(re.findall(r' data-task="([^"]*)"', part)) == {"reach", "push", "pick-place"}, section


def test_identifiers_are_unique(compared_html):
    found = re.findall(r'\sid="([^"]+)"', compared_html)
    duplicated = {i for i in found if found.count(i) > 1}
    assert not duplicated


def test_writing_leaves_no_traces(alone):
    run, before, after = alone
    assert after == before
    assert [p.name for p in run.glob("*report*")] == ["report.html"]


def test_importing_is_light_pyplot_is_never_used_and_the_same_runs_give_the_same_bytes(alone, alone_html, tmp_path):
    code = (
        "import sys; from pathlib import Path; import polytask.report as r\n"
        "assert not {'matplotlib', 'scipy', 'jax', 'rich'} & set(sys.modules)\n"
        f"r.write_report([Path({str(alone[0])!r})], Path({str(tmp_path / 'r.html')!r}))\n"
        "assert not {'matplotlib.pyplot', 'jax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert (tmp_path / "r.html").read_text() == alone_html


def test_no_runs_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no run to report on"):
        write_report([], tmp_path / "report.html")


def test_charts_keep_the_numbers_that_people_read():
    svg = chart(lambda axes: axes.text(0.5, 0.5, "0.987 of $x"), 100, 80, (20, 5, 5, 20), "title")
    assert "0.987 of $x" in svg
    assert 'aria-label="title"' in svg


def test_charts_have_plain_colours_and_a_dark_one_for_each():
    palette = (plot.INK, plot.MUTED, plot.GRID, plot.PAPER, *plot.SERIES)
    svg = chart(
        lambda axes: [axes.plot([0, i], color=c) for i, c in enumerate(palette)], 100, 80, (9, 5, 5, 9), "title"
    )
    assert "var(" not in svg
    assert all(f'stroke="{colour}"' in svg for colour in palette)
    style = (Path(plot.__file__).parent / "style.css").read_text()
    dark = dict(re.findall(r'svg \[stroke="(#\w{6})"\] \{ stroke: (#\w{6}); \}', style))
    assert list(dark) == list(palette)
    assert dark == dict(re.findall(r'svg \[fill="(#\w{6})"\] \{ fill: (#\w{6}); \}', style))
    assert set(dark.values()) <= set(re.findall(r"--\w+: (#\w{6});", style))


def test_one_task_has_no_section_of_what_compares_tasks(run_folder, written, specs):
    html = written(run_folder("a", specs.dmc(["dog-walk"]), evaluations=2))
    assert not {"tasks", "heat", "embedding"} & set(re.findall(r'<section id="(\w+)">', html))
    assert 'class="total"' not in html
    assert " 1 task " not in text_of(html).partition("Training")[2]


def test_one_task_without_a_score_shows_its_returns(run_folder, written, specs):
    html = written(run_folder("a", specs.gym(), evaluations=2))
    assert "Mean return of gym/Pendulum-v1, which has no score" in text_of(html)
    assert 'aria-label="return over steps"' in html


def test_a_wide_range_is_drawn_on_a_log_axis_with_plain_labels():
    values = np.geomspace(0.01, 1000, 40)
    line = steps_and_values(np.arange(40), values)
    svg = metric_panel([line], None, (), 40, "loss")
    assert ">100<" in svg
    assert "mathdefault" not in svg


def test_labels_keep_their_distance():
    placed = apart([0.5, 0.5, 0.52, 0.9], 0.1, 0.0)
    assert (np.diff(sorted(placed)) >= 0.1 - 1e-6).all()
    assert apart([0.0, 0.0], 0.1, 0.0) == pytest.approx([0.0, 0.1])


def test_clustering_puts_alike_tasks_side_by_side():
    families = np.repeat(np.eye(3), 3, axis=0)[[0, 3, 6, 1, 4, 7, 2, 5, 8]]
    order = cluster_order(cosines(families + 0.01 * np.random.default_rng(0).normal(size=families.shape)))
    assert len({tuple(sorted(i % 3 for i in order[k : k + 3])) for k in (0, 3, 6)}) == 3
    assert all(len({i % 3 for i in order[k : k + 3]}) == 1 for k in (0, 3, 6))


def test_the_plane_is_pca_of_the_unit_embeddings():
    vectors = np.random.default_rng(0).normal(size=(7, 5))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = unit - unit.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    points, shares = principal_plane(cosines(vectors))
    np.testing.assert_allclose(np.abs(points), np.abs(centred @ directions[:2].T), atol=1e-12)
    np.testing.assert_allclose(shares, sizes[:2] ** 2 / (sizes**2).sum())


def test_equal_and_zero_embeddings_do_not_break_the_plane():
    points, shares = principal_plane(cosines(np.ones((4, 3))))
    np.testing.assert_allclose(points, 0, atol=1e-7)
    assert all(np.isfinite(shares))
    assert np.isfinite(cosines(np.zeros((3, 2)))).all()
