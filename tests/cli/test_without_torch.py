"""What only plans, lists or explains itself starts without the seconds that torch takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "onnxruntime", "matplotlib")

CODE = """
import sys
from ldrestore.cli.main import main
try:
    code = main({arguments!r})
except SystemExit as ending:
    code = ending.code
print(code or 0, *sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
"""


def loaded_by(*arguments, cwd):
    """Exit code of a command, and which heavy packages it imported."""
    command = [sys.executable, "-c", CODE.format(arguments=list(arguments), heavy=HEAVY)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    outcome = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    return outcome.stderr.strip().splitlines()[-1]


@pytest.mark.e2e
@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("restore", "--help"), ("models",)])
def test_what_explains_itself_imports_nothing_heavy(arguments, tmp_path):
    assert loaded_by(*arguments, cwd=tmp_path) == "0"


@pytest.mark.e2e
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_plan_is_made_without_torch(options, tmp_path):
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    assert loaded_by("restore", str(tmp_path), "out", "--dry-run", *options, cwd=tmp_path) == "0"
    assert loaded_by("restore", str(tmp_path / "a.png"), "b.png", "--dry-run", *options, cwd=tmp_path) == "0"
    assert not Path(tmp_path, "out").exists()
