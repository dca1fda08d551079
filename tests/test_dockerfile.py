"""The container's recipe, as far as it can be held against the checkout without building it."""

import re
import subprocess

from syntax_trees import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_torch_is_the_tested_one_for_every_device():
    pattern = re.search(r"grep -o '([^']+)' requirements/tested\.txt \| head -1", TEXT)[1]
    command = ["grep", "-o", pattern, str(ROOT / "requirements" / "tested.txt")]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    assert len(set(found)) == 1 and re.fullmatch(r"torch==\d+\.\d+\.\d+", found[0])


def test_the_rest_is_constrained_to_the_tested_set_and_looked_at():
    assert "--constraint requirements/tested.txt" in TEXT and "ldrestore doctor" in TEXT
    assert "ARG DEVICE=cpu" in TEXT and "whl/cpu" in TEXT


def test_what_is_copied_is_there():
    for source in re.findall(r"^COPY (?!--from)(\S+) ", TEXT, re.MULTILINE):
        assert (ROOT / source).exists()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not {"ldrestore", "pipelines", "training", "configs", "requirements", "README.md", "LICENSE"} & set(ignored)


def test_the_container_is_nobodys_root():
    assert re.search(r"^USER restorer$", TEXT, re.MULTILINE)
