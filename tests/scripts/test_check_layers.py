"""Faults of the import graph on small trees; `tests/test_house.py` holds the library itself against the check."""

from pathlib import Path

import pytest
from check_layers import LAYERS, check_layers
from syntax_trees import ROOT, parse_module, read_modules


def faults_of(**texts: str) -> list[str]:
    """Of modules of the library by their names, "." written as "__"."""
    return check_layers([parse_module(f"ldrestore.{name.replace('__', '.')}", text) for name, text in texts.items()])


def test_a_fault_names_module_and_line_and_both_units(tmp_path: Path) -> None:
    for path, text in (
        ("ldrestore/images/a.py", "import os\n\nimport ldrestore.training.loop\n"),
        ("training/loop.py", ""),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert check_layers(read_modules(tmp_path)) == [
        "ldrestore.images.a:3: images imports training, which lies above it (ldrestore.training.loop)"
    ]


@pytest.mark.parametrize("low", range(len(LAYERS) - 2))  # the last is a file
def test_each_layer_may_import_those_below_and_not_those_above(low: int) -> None:
    lower, upper = LAYERS[low][0], LAYERS[low + 1][-1]
    assert faults_of(**{f"{lower}__a": "", f"{upper}__b": f"import ldrestore.{lower}.a"}) == []
    (fault,) = faults_of(**{f"{lower}__a": f"import ldrestore.{upper}.b", f"{upper}__b": ""})
    assert f"{lower} imports {upper}, which lies above it" in fault


def test_every_unit_of_the_library_has_one_layer_and_every_unit_of_a_layer_is_there() -> None:
    listed = [unit for units in LAYERS for unit in units]
    assert len(listed) == len(set(listed))
    assert set(listed) == {module.name.split(".")[1] for module in read_modules(ROOT) if "." in module.name}


def test_an_imported_name_is_counted_for_its_module() -> None:
    text = "from ldrestore.images.files import read_photo, write_photo"
    assert faults_of(images__files="", datasets__a=text) == []
    faults = faults_of(training__loop="", datasets__a="from ldrestore.training.loop import run")
    assert faults == [
        "ldrestore.datasets.a:1: datasets imports training, which lies above it (ldrestore.training.loop)"
    ]


def test_a_module_does_not_import_the_package_that_it_lies_in_but_another_may() -> None:
    own = faults_of(images="", images__a="import ldrestore.images")
    assert own == ["ldrestore.images.a:1: imports ldrestore.images; import from the module that defines it"]
    assert faults_of(images="", datasets__a="import ldrestore.images") == []


def test_a_cycle_of_three_is_found_and_a_diamond_is_none() -> None:
    ring = {"images__a": "images.b", "images__b": "images.c", "images__c": "images.a"}
    (fault,) = faults_of(**{name: f"import ldrestore.{target}" for name, target in ring.items()})
    assert fault.startswith("import cycle: ") and all(f"ldrestore.images.{name}" in fault for name in "abc")
    both = "import ldrestore.images.b\nimport ldrestore.images.c"
    to_d = "import ldrestore.images.d"
    assert faults_of(images__a=both, images__b=to_d, images__c=to_d, images__d="") == []


def test_what_other_packages_are_called_does_not_matter() -> None:
    assert faults_of(errors="import ldrestorer.cli.main\nimport training.loop\nfrom pipelines import a") == []


def test_deferred_imports_of_each_unit_are_counted() -> None:
    late = "def f():\n    import ldrestore.errors\n    import torch\n"
    modules = [parse_module(f"ldrestore.{name}", late) for name in ("images.a", "images.b", "serving.c", "cli.d")]
    modules.append(parse_module("ldrestore.errors", ""))
    assert check_layers(modules, most_deferred=3) == []
    (fault,) = check_layers(modules, most_deferred=2)
    assert fault.startswith("3 imports are deferred, at most 2: images (2), serving (1); import at the top")
