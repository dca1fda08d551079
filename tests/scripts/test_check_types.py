import pytest
from check_types import LAYOUT, check_overlooked, faults_found, ignores_of, lay_out
from syntax_trees import ROOT, parse_module, read_modules, read_scripts


def faults_of(*texts, **options):
    modules = [parse_module(f"ldrestore.module{number}", text) for number, text in enumerate(texts)]
    return check_overlooked(modules, **{"most_ignored": 9, "most_casts": 9, **options})


def test_what_the_checker_is_told_to_overlook_has_a_code_and_a_reason_and_does_not_grow():
    assert check_overlooked([*read_modules(), *read_scripts()]) == []


@pytest.mark.parametrize(
    "comment",
    [
        "# type: ignore",
        "# type: ignore[misc]",
        "# type:ignore[misc]  # why",
        "# type: ignore[misc]  #",
        "# type: ignore  # a",
    ],
)
def test_a_fault_overlooked_without_code_or_reason_is_a_fault(comment):
    (fault,) = faults_of(f"x = 1\ny = f(x)  {comment}")
    assert fault == f"ldrestore.module0:2: {comment}: write `# type: ignore[code]  # reason`"


def test_codes_with_a_reason_pass_and_text_is_no_comment():
    text = "y = f(x)  # type: ignore[misc, arg-type]  # the reason\nz = '# type: ignore'"
    assert faults_of(text) == []
    assert list(ignores_of(text)) == [(1, "# type: ignore[misc, arg-type]  # the reason")]


def test_more_than_the_maximum_is_a_fault():
    ignored = "y = f(x)  # type: ignore[misc]  # why\n"
    cast = "import typing\nfrom typing import cast\na = typing.cast(int, b)\nc = cast(int, d)"
    assert faults_of(ignored, ignored, cast, most_ignored=2, most_casts=2) == []
    assert faults_of(ignored, ignored, cast, most_ignored=1, most_casts=1) == [
        "2 faults overlooked, at most 1; give the checker types instead",
        "2 casts, at most 1; give the checker types instead",
    ]


def test_faults_bear_the_places_of_the_checkout():
    lines = [
        "build/types/ldrestore/pipelines/output.py:3: error: wrong  [misc]",
        "build\\types\\ldrestore\\training\\loop\\ema.py:4: error: wrong  [misc]",
        "ldrestore/config.py:1: error: wrong  [misc]",
        "ldrestore/config.py:1: note: see there",
    ]
    assert faults_found(lines) == [
        "pipelines/output.py:3: error: wrong  [misc]",
        "training/loop/ema.py:4: error: wrong  [misc]",
        "ldrestore/config.py:1: error: wrong  [misc]",
    ]


def test_packages_beside_the_library_are_laid_out_inside_it(tmp_path):
    for folder in ("configs", "pipelines", "requirements", "training"):
        (tmp_path / folder / "__pycache__").mkdir(parents=True)
        (tmp_path / folder / "module.py").write_text("x = 1", encoding="utf-8")
    stale = tmp_path / LAYOUT / "ldrestore" / "training" / "gone.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("", encoding="utf-8")
    lay_out(tmp_path)
    found = sorted(path.relative_to(tmp_path / LAYOUT).as_posix() for path in (tmp_path / LAYOUT).rglob("*"))
    assert found == [
        "ldrestore",
        "ldrestore/configs",
        "ldrestore/configs/module.py",
        "ldrestore/pipelines",
        "ldrestore/pipelines/module.py",
        "ldrestore/requirements",
        "ldrestore/requirements/module.py",
        "ldrestore/training",
        "ldrestore/training/module.py",
    ]


def test_the_settings_name_where_the_packages_are_laid_out():
    assert f'"{LAYOUT.as_posix()}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
