"""Provenance: every session is recorded, and a change that can change the numbers is told."""

import json
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from polytask.runs import provenance, storage


def test_sessions_are_appended_and_equal_ones_give_no_warning(tmp_path: Path) -> None:
    assert provenance.record(tmp_path) == []
    assert provenance.record(tmp_path) == []
    first, second = provenance.read(tmp_path)
    assert first["packages"]["jax"] == metadata.version("jax")
    assert first["packages"] == second["packages"]
    assert first["memory_bytes"] > 2**28
    assert first["cores"] >= 1
    assert first["cpu"]
    assert first["devices"]
    assert first["command"]
    assert first["started"].endswith("+00:00")


def test_what_changed_is_named(tmp_path: Path) -> None:
    provenance.record(tmp_path)
    file = tmp_path / "provenance.json"
    content = json.loads(file.read_text())
    content["sessions"][0]["packages"] |= {"jax": "0.1", "metaworld": "9"}
    content["sessions"][0] |= {"cpu": "Z80", "cores": 77}
    file.write_text(json.dumps(content))
    (warning,) = provenance.record(tmp_path)
    assert f"jax 0.1 -> {metadata.version('jax')}" in warning
    assert "metaworld 9 -> " in warning
    assert "processor Z80 -> " in warning
    assert "cores 77 -> " in warning
    assert "numpy" not in warning
    assert "same numbers" in warning


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text("[]")
    with pytest.raises(storage.StorageError, match="move it away"):
        provenance.record(tmp_path)


def test_the_commit_is_that_of_the_checkout_and_of_no_other(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / "own.txt").write_text("1")
    try:
        git("init", "-q")
    except FileNotFoundError:
        pytest.skip("needs git")
    git("add", "own.txt")
    git("commit", "-qm", "x")
    assert provenance.git_state(package) is None  # as in a virtual environment inside somebody's repository
    git("add", "package")
    git("commit", "-qm", "y")
    assert provenance.git_state(package) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "own.txt").write_text("2")
    assert provenance.git_state(package) == {"commit": git("rev-parse", "HEAD"), "dirty": True}
