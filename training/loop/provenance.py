"""What a run was made from: its full config, the commit and the versions of packages."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

import ldrestore
from ldrestore.config import as_plain

PACKAGES = (
    "torch",
    "accelerate",
    "diffusers",
    "transformers",
    "safetensors",
    "numpy",
    "opencv-python-headless",
    "pillow",
)


def write_provenance(config: Any, folder: Path) -> None:
    """Write `config.yaml` and `environment.json` into the run's folder.

    Args:
        config: The config dataclass, with every default filled in.
        folder: The run's folder; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(as_plain(config), sort_keys=False, allow_unicode=True)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n", encoding="utf-8")


def environment() -> dict[str, Any]:
    """Commit, Python and package versions; a package that is not installed has none."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "ldrestore": ldrestore.__version__,
        "commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
    }


def git_commit() -> str | None:
    """Commit of the checkout that this package is imported from, with "-dirty" if files differ; None outside of one."""
    root = Path(ldrestore.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return f"{commit}-dirty" if _git(root, "status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    """Output of a git command."""
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
