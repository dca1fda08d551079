"""What Windows and macOS do not have, or do otherwise: the source does without it."""

import ast

import pytest
from syntax_trees import imports_of, parse_module, read_modules

UNIX_ALONE = {
    "os.fork": "processes are spawned there",
    "os.rename": "it does not replace a file on Windows; take os.replace",
    "os.geteuid": "there are no such users on Windows",
    "os.getuid": "there are no such users on Windows",
    "os.mkfifo": "Windows has none",
    "os.uname": "take platform",
    "signal.SIGKILL": "Windows has none",
    "signal.SIGALRM": "Windows has none",
    "multiprocessing.set_start_method": "it is the user's to choose",
}
"""Names that are not everywhere, and why."""


def unix_faults(module):
    """Places of one module that need a Unix, or the encoding of its locale."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in UNIX_ALONE:
            yield f"{module.name}:{node.lineno}: {ast.unparse(node)}: {UNIX_ALONE[ast.unparse(node)]}"
        elif isinstance(node, ast.Call) and is_text(node) and not any(one.arg == "encoding" for one in node.keywords):
            yield f"{module.name}:{node.lineno}: text without an encoding, which Windows reads as its own"


def is_text(call):
    """Whether a call opens, reads or writes text."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in {"read_text", "write_text"}
    if getattr(call.func, "id", "") != "open":
        return False
    modes = [*call.args[1:2], *(one.value for one in call.keywords if one.arg == "mode")]
    return not any("b" in ast.unparse(mode) for mode in modes)


def test_modules_that_only_unix_has_are_imported_where_they_are_needed():
    edges = [edge for module in read_modules() for edge in imports_of(module)]
    always = {edge.target.partition(".")[0] for edge in edges if not edge.is_deferred}
    assert always & {"fcntl", "grp", "pwd", "resource", "termios"} == set()


def test_the_source_needs_no_unix():
    assert [fault for module in read_modules() for fault in unix_faults(module)] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import os\nos.rename('a', 'b')", "take os.replace"),
        ("def f(path): path.write_text('a')", "without an encoding"),
        ("open('a')", "without an encoding"),
        ("open('a', 'rb')\nimport os\nos.replace('a', 'b')", None),
        ("def f(path): path.write_text('a', encoding='utf-8')", None),
    ],
)
def test_what_needs_a_unix_is_found(text, fault):
    faults = list(unix_faults(parse_module("ldrestore.images.files", text)))
    assert len(faults) == (fault is not None) and all(fault in line for line in faults)
