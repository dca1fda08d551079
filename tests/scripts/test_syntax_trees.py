"""What the checks read of a checkout: its packages, its scripts, and what each module imports and when."""

from pathlib import Path

import pytest
from syntax_trees import imports_of, parse_module, read_modules, read_scripts


def write_tree(root: Path, **files: str) -> Path:
    """Files by their path, "/" written as "__in__", below a folder."""
    for name, text in files.items():
        path = root / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def imported(text: str) -> list[tuple[str, int, bool]]:
    """What a module of this text imports: target, line, and whether that is deferred."""
    return [(edge.target, edge.line, edge.is_deferred) for edge in imports_of(parse_module("ldrestore.a", text))]


def test_modules_beside_the_library_bear_the_names_that_they_are_imported_by(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        ldrestore__in____init__="",
        ldrestore__in__images__in__files="",
        pipelines__in____init__="",
        training__in__loop__in____init__="",
        training__in__loop__in__ema="",
        elsewhere__in__ignored="",
    )
    modules = read_modules(tmp_path)
    assert [(module.name, module.is_package) for module in modules] == [
        ("ldrestore", True),
        ("ldrestore.images.files", False),
        ("ldrestore.pipelines", True),
        ("ldrestore.training.loop", True),
        ("ldrestore.training.loop.ema", False),
    ]


def test_scripts_are_modules_of_their_own_and_folders_in_them_are_none(tmp_path: Path) -> None:
    write_tree(tmp_path, scripts__in__b="x = 1", scripts__in__a="", scripts__in__deeper__in__c="")
    assert [(script.name, script.text) for script in read_scripts(tmp_path)] == [("a", ""), ("b", "x = 1")]


def test_a_file_that_is_no_python_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, ldrestore__in__broken="def f(:\n")
    with pytest.raises(SyntaxError) as caught:
        read_modules(tmp_path)
    assert (caught.value.filename, caught.value.lineno) == ("ldrestore.broken", 1)


def test_every_spelling_of_an_import_is_read() -> None:
    text = "import a.b, c as d\nfrom e.f import g as h, i\nfrom . import j\nfrom .k import l\n"
    assert imported(text) == [("a.b", 1, False), ("c", 1, False), ("e.f.g", 2, False), ("e.f.i", 2, False)]


@pytest.mark.parametrize("head", ["try:", "if x:", "with x:", "for y in x:", "class A:", "match x:\n  case 1:"])
def test_what_runs_when_the_module_is_imported_is_not_deferred(head: str) -> None:
    tail = "\nexcept OSError:\n    import b" if head == "try:" else ""
    found = imported(f"{head}\n    import a{tail}")
    assert [(target, deferred) for target, _, deferred in found] == [("a", False), ("b", False)][: 1 + bool(tail)]


@pytest.mark.parametrize(
    "head", ["def f():", "async def f():", "class A:\n  def f(self):", "def f():\n  if x:", "if TYPE_CHECKING:"]
)
def test_what_runs_later_or_never_is_deferred(head: str) -> None:
    ((target, _, is_deferred),) = imported(f"{head}\n    import a")
    assert (target, is_deferred) == ("a", True)


def test_what_stands_in_for_types_at_run_time_is_not_deferred() -> None:
    text = "if typing.TYPE_CHECKING:\n    import a\nelse:\n    import b\nif not TYPE_CHECKING:\n    import c\n"
    assert imported(text) == [("a", 2, True), ("b", 4, False), ("c", 6, False)]
    inside = "def f():\n    if TYPE_CHECKING:\n        import a\n    else:\n        import b\n"
    assert imported(inside) == [("a", 3, True), ("b", 5, True)]
