"""The Python in the pages about reports and statistics runs as it stands."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


pytest.importorskip("pandas")  # polytask.results


@pytest.mark.parametrize("page", ["report.md", "statistics.md"])
def test_snippets_run(page, run_folder, tmp_path, monkeypatch):
    for seed in range(2):
        run_folder(f"runs/s{seed}", seed=seed, evaluations=3)
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.S)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, page, "exec"), {})
    if page == "report.md":
        assert (tmp_path / "report.html").exists()
