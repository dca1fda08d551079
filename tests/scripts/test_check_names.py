from pathlib import Path

import pytest
from check_names import KNOWN_TWICE, check_names, names_twice, participles_of, read_others
from syntax_trees import parse_module, read_modules


def faults_of(*texts, **options):
    modules = [parse_module(f"ldrestore.module{number}", text) for number, text in enumerate(texts)]
    return check_names(modules, **{"known_twice": set(), **options})


def test_each_public_name_of_the_library_means_one_thing_and_variables_are_nouns():
    assert check_names(read_modules()) == []


def test_variables_of_tests_and_scripts_are_nouns_too():
    assert [fault for module in read_others() for fault in participles_of(module)] == []


def test_exceptions_are_few_and_all_needed_or_about_to_go():
    assert set() == KNOWN_TWICE


def test_a_name_of_two_modules_is_a_fault_unless_it_is_known():
    first, second = "def load(): ...\nLIMIT = 1\n_own = 2", "class load: ...\nLIMIT: int = 3\n_own = 4"
    assert faults_of(first, second) == [
        "LIMIT means two things: ldrestore.module0, ldrestore.module1",
        "load means two things: ldrestore.module0, ldrestore.module1",
    ]
    assert faults_of(first, second, known_twice={"LIMIT", "load"}) == []


def test_interfaces_of_a_kind_and_names_in_functions_may_repeat():
    text = "def options_of_checkpoint(): ...\ndef own{}():\n    def inner(): ...\n"
    assert faults_of(text.format("a"), text.format("b")) == []
    assert names_twice([parse_module("a", "logger = 1"), parse_module("b", "logger = 1")]) == {}


def test_a_module_of_two_rooms_is_a_fault_unless_it_is_of_a_kind_or_a_command():
    names = (
        "images.depth",
        "degradations.wide.depth",
        "images.catalog",
        "metrics.catalog",
        "cli.noise",
        "blocks.noise",
    )
    modules = [parse_module(f"ldrestore.{name}", "") for name in names]
    (fault,) = check_names(modules, known_twice=set())
    assert fault == "depth means two things: ldrestore.degradations.wide.depth, ldrestore.images.depth"


def test_modules_of_one_room_and_of_its_folders_may_share_a_name():
    modules = [parse_module(f"ldrestore.{name}", "") for name in ("degradations.noise", "degradations.wide.noise")]
    assert check_names(modules, known_twice=set()) == []


def test_a_file_called_as_another_room_is_a_fault():
    modules = [parse_module(f"ldrestore.{name}", "") for name in ("sampling", "training.data.sampling")]
    assert len(check_names(modules, known_twice=set())) == 1


def test_participles_as_variables_and_parameters_are_faults():
    text = "def told_of(asked):\n    seen = asked\n    return seen\n\ndef _said(self):\n    self._told = 1\n"
    assert faults_of(text) == [
        "ldrestore.module0:1: a variable is called asked; name what it is",
        "ldrestore.module0:2: a variable is called seen; name what it is",
        "ldrestore.module0:5: a function is called _said; name what it is",
        "ldrestore.module0:6: an attribute is called _told; name what it is",
    ]
    assert faults_of("def told_of(picture):\n    return picture.seen\n") == []


@pytest.mark.parametrize(
    "text", ["{0}, OTHER{1} = 1, 2", "(FIRST{1}, [{0}]) = x", "*{0}, LAST{1} = x", "{0} = Z{1} = 3"]
)
def test_constants_that_are_set_together_are_names_too(text: str) -> None:
    assert faults_of(text.format("SIDE", 1), text.format("SIDE", 2)) == [
        "SIDE means two things: ldrestore.module0, ldrestore.module1"
    ]


def test_what_is_only_read_or_set_inside_something_is_no_name_of_the_module() -> None:
    text = "TABLE{0}[KEY] = VALUE\nthing{0}.SIDE = 1\n_SIDE = 2\nX{0} = [SIDE for SIDE in ()]\n"
    assert faults_of(text.format(1), text.format(2)) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("try: ...\nexcept OSError as told: ...", 2),
        ("match x:\n    case [1, *said]: ...", 2),
        ("match x:\n    case int() as seen: ...", 2),
        ("f = lambda asked: 1", 1),
        ("for seen, i in x: ...", 1),
        ("with x as said: ...", 1),
        ("if (told := 1): ...", 1),
        ("async def f(*, asked): ...", 1),
    ],
)
def test_every_way_to_bind_a_variable_is_looked_at(text: str, line: int) -> None:
    (fault,) = faults_of(text)
    assert fault.startswith(f"ldrestore.module0:{line}: a variable is called ")
    assert fault.endswith("; name what it is")


def test_files_beside_the_library_are_read_by_their_path(tmp_path: Path) -> None:
    for path in ("tests/images/test_a.py", "scripts/b.py", "integrations/c/d.py", "elsewhere/e.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("seen = 1", encoding="utf-8")
    others = read_others(tmp_path)
    assert [module.name for module in others] == ["integrations/c/d.py", "scripts/b.py", "tests/images/test_a.py"]
    assert all(participles_of(module) for module in others)
