"""Breaches on a small bad tree, each beside the nearest text that keeps the limit."""

import ast
from pathlib import Path

import pytest
from check_limits import check_limits, function_lines
from syntax_trees import parse_module, read_modules

MANY = ", ".join(f"a{number}" for number in range(13))
"""Thirteen parameters, one too many."""


def faults_of(text: str, *, name: str = "ldrestore.images.files") -> list[str]:
    return check_limits([parse_module(name, f'"""M."""\n{text}')])


def test_each_fault_of_a_tree_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "ldrestore").mkdir()
    (tmp_path / "training").mkdir()
    (tmp_path / "ldrestore" / "long.py").write_text('"""M."""\n' + "x = 1\n" * 500, encoding="utf-8")
    (tmp_path / "training" / "bare.py").write_text('"""M."""\n\n\ndef f(a): ...\n', encoding="utf-8")
    assert check_limits(read_modules(tmp_path)) == [
        "ldrestore.long: 501 lines, at most 500; split it",
        "ldrestore.training.bare:4: f lacks the types of a, the result",
        "ldrestore.training.bare:4: f has no docstring",
    ]


def test_docstring_and_decorators_are_no_lines_of_a_function() -> None:
    body = "    x = 1\n" * 59
    documented = f'@cached(\n  1,\n  2)\ndef _f():\n    """One.\n\n    Two.\n    """\n{body}'
    assert function_lines(ast.parse(documented).body[0]) == 60
    assert faults_of(documented) == []
    (fault,) = faults_of(f"{documented}    y = 2\n")
    assert fault == "ldrestore.images.files:5: _f has 61 lines, at most 60; split it"


def test_methods_and_nested_functions_are_measured_too() -> None:
    inner = "        x = 1\n" * 60
    for head in ("class _A:\n    def f(self):\n", "def _g():\n    def f():\n"):
        assert any("f has 61 lines" in fault for fault in faults_of(head + inner))


@pytest.mark.parametrize(
    "parameters",
    [
        MANY,
        MANY.replace("a6", "*, a6"),
        MANY.replace("a6", "/, a6"),
        MANY.replace("a11", "*a11").replace("a12", "**a12"),
    ],
)
def test_every_kind_of_parameter_counts(parameters: str) -> None:
    (fault,) = faults_of(f"def _f({parameters}): ...")
    assert fault == "ldrestore.images.files:2: _f has 13 parameters, at most 12; group them"


def test_self_and_cls_do_not_count() -> None:
    twelve = MANY.rpartition(",")[0]
    assert faults_of(f"class _A:\n    def f(self, {twelve}): ...\n    def g(cls, {twelve}): ...") == []


@pytest.mark.parametrize(
    ("name", "function", "is_fault"),
    [
        ("ldrestore.pipelines.pipeline_a", "__call__", False),
        ("ldrestore.pipelines.pipeline_a", "__init__", False),
        ("ldrestore.systems.a", "__init__", True),
        ("ldrestore.pipelines.pipeline_a", "other", True),
        ("ldrestore.cli.command", "other", False),
        ("ldrestore.client", "other", True),
        ("ldrestore.images.files", "__call__", True),
    ],
)
def test_calls_of_pipelines_and_commands_take_what_a_user_may_choose(name: str, function: str, is_fault: bool) -> None:
    assert bool(faults_of(f"class _A:\n    def {function}(self, {MANY}): ...", name=name)) == is_fault


def test_types_are_asked_of_what_is_public_alone() -> None:
    public = 'class A:\n    """A."""\n    def f(self, *rest, key=1) -> int:\n        """F."""\n'
    assert faults_of(public) == ["ldrestore.images.files:4: f lacks the types of key, rest"]
    assert faults_of(public.replace("class A", "class _A")) == []
    assert faults_of(public.replace("def f", "def _f")) == []
    assert faults_of('async def f():\n    """F."""') == ["ldrestore.images.files:2: f lacks the types of the result"]


def test_one_bare_function_among_twenty_passes_and_two_are_named() -> None:
    documented = "".join(f'def f{number}() -> None:\n    """F."""\n' for number in range(18))
    assert faults_of(f"{documented}def g() -> None: ...") == []
    faults = faults_of(f"{documented}def g() -> None: ...\ndef h() -> None: ...")
    assert [fault.rpartition(": ")[2] for fault in faults] == ["g has no docstring", "h has no docstring"]
