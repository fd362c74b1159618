"""The Python in the page about supervised training runs as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "supervised.md"


@pytest.mark.slow
def test_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert len(snippets) == 4
    names: dict = {}
    for snippet in snippets:
        exec(compile(snippet, PAGE.name, "exec"), names)


@pytest.mark.slow
def test_snippets_about_tables_run(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.with_name("tables.md").read_text(), flags=re.S)
    exec(compile(snippet, "tables.md", "exec"), {})
