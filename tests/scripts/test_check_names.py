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
