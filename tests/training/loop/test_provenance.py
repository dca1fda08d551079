import json
import subprocess
from pathlib import Path

import pytest
from tiny_run import TinyConfig, tiny_config

from ldrestore.config import load_config
from ldrestore.training.loop import provenance
from ldrestore.training.loop.provenance import environment, write_provenance


def test_the_written_config_is_the_config(tmp_path):
    config = tiny_config(tmp_path / "run")
    write_provenance(config, tmp_path / "run")
    assert load_config(TinyConfig, tmp_path / "run/config.yaml") == config


def test_versions_are_written(tmp_path):
    write_provenance(tiny_config(tmp_path), tmp_path)
    written = json.loads((tmp_path / "environment.json").read_text())
    assert written == environment()
    assert {"torch", "accelerate", "numpy"} <= written["packages"].keys()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package-at-all"))
    packages = provenance.environment()["packages"]
    assert packages["no-such-package-at-all"] is None and packages["torch"]


def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one file, from which the package seems to be imported."""
    (folder / "ldrestore").mkdir(parents=True)
    (folder / "ldrestore/__init__.py").write_text("")
    monkeypatch.setattr(provenance.ldrestore, "__file__", str(folder / "ldrestore/__init__.py"))
    return folder


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout(tmp_path / "repository", monkeypatch)
    assert provenance.git_commit() is None  # no checkout yet
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance.git_commit() == head
    (folder / "ldrestore/__init__.py").write_text("changed = True")
    assert provenance.git_commit() == f"{head}-dirty"


def test_a_machine_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout(tmp_path, monkeypatch)
    (folder / ".git").mkdir()  # and nothing in it
    assert provenance.git_commit() is None

    def fail(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", fail)
    assert provenance.git_commit() is None
