"""Words that documents and scripts do not use: those of planning say to nobody else what a figure is."""

import re

import pytest
from syntax_trees import ROOT

PLANNING = re.compile(r"\bgates?\b|\| *targets? *\||\btargets? (?:of \d|are|missed|met|reached|\d)", re.IGNORECASE)
"""What is held to is a bound, what is hoped for an aim; a network has gates, in code, and a file is a target."""

DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "ldrestore/assets/**/*.md",
        "scripts/*.py",
        "scripts/*.in",
        "configs/**/*.yaml",
    )
    for path in ROOT.glob(pattern)
)


def test_documents_and_scripts_use_no_words_of_planning():
    assert len(DOCUMENTS) > 60
    lines = ((path, line) for path in DOCUMENTS for line in path.read_text(encoding="utf-8").splitlines())
    assert [f"{path.relative_to(ROOT)}: {line}" for path, line in lines if PLANNING.search(line)] == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("28 gates are met", True),
        ("| what | measured | target |", True),
        ("its target of 95 %", True),
        ("the target of a file that exists", False),
        ("delegate, investigate, gated convolution", False),
    ],
)
def test_such_words_are_found_and_others_are_not(line, is_found):
    assert bool(PLANNING.search(line)) == is_found
