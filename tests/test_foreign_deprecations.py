"""What deprecations do to a run of pytest, tried on a small one."""

import subprocess
import sys
import tomllib

import pytest
from syntax_trees import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]

FOREIGN = """
import warnings

def old(stacklevel=1):
    warnings.warn("old is deprecated; call new", FutureWarning, stacklevel=stacklevel)
    return 3

def older():
    warnings.warn("older goes\\naway", DeprecationWarning, stacklevel=2)

def oldest():
    warnings.warn("oldest is Deprecated", stacklevel=3)

def careless():
    warnings.warn("rounded", RuntimeWarning, stacklevel=2)
"""

TESTS = """
import ast
import warnings

import foreign
import pytest

def announce():
    warnings.warn("ours is deprecated", DeprecationWarning, stacklevel=1)

@pytest.mark.parametrize("stacklevel", [1, 2])
def test_foreign_call(stacklevel):
    assert foreign.old(stacklevel) == 3

def test_foreign_call_attributed_to_us():
    foreign.older()

def test_foreign_call_of_another_category():
    foreign.oldest()

def test_interpreter():
    ~True if not hasattr(ast, "Num") else ast.Num

def test_expected():
    with pytest.warns(FutureWarning, match="call new"):
        foreign.old()
    with pytest.warns(DeprecationWarning, match="ours"):
        announce()

def test_ignored_by_name():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        announce()

def test_own_announcement():
    announce()

def test_own_warning():
    warnings.warn("ours", UserWarning, stacklevel=1)

def test_careless():
    foreign.careless()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the tests above; gives exit code and output."""
    folder = tmp_path_factory.mktemp("run")
    library = folder / "site-packages"
    library.mkdir()
    (library / "foreign.py").write_text(FOREIGN, encoding="utf-8")
    (folder / "test_small.py").write_text(TESTS, encoding="utf-8")
    filters = "\n    ".join(["filterwarnings =", *SETTINGS["filterwarnings"]])
    settings = f"[pytest]\n{filters}\npythonpath = {library.name}\naddopts = -p tests.foreign_deprecations\n"
    (folder / "pytest.ini").write_text(settings, encoding="utf-8")

    def run(*options):
        command = [sys.executable, "-m", "pytest", "-q", "-rfp", "-p", "no:cacheprovider", *options]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100).stdout

    return run


def outcomes(output):
    """Name of each test to whether it passed."""
    lines = [line.split() for line in output.splitlines() if line.startswith(("PASSED ", "FAILED "))]
    return {line[1].partition("::")[2]: line[0] == "PASSED" for line in lines}


@pytest.mark.e2e
@pytest.mark.parametrize("processes", [0, 2])
def test_deprecations_of_others_are_summed_up_and_ours_are_errors(run, processes):
    output = run("--numprocesses", str(processes))
    failed = {name for name, is_passed in outcomes(output).items() if not is_passed}
    assert failed == {"test_own_announcement", "test_own_warning", "test_careless"}
    summary = output.partition("deprecations that other packages announce")[2]
    assert "foreign (2 times): old is deprecated; call new\n" in summary
    assert "foreign (1 time): older goes away\n" in summary
    assert "foreign (1 time): oldest is Deprecated\n" in summary
    assert "ours" not in summary.partition("short test summary")[0]


@pytest.mark.e2e
@pytest.mark.parametrize("processes", [0, 2])
def test_all_are_errors_where_it_is_strict(run, processes):
    output = run("-W", "error", "--numprocesses", str(processes))
    passed = {name for name, is_passed in outcomes(output).items() if is_passed}
    assert passed <= {"test_expected", "test_ignored_by_name", "test_interpreter"}
    assert "deprecations that other packages announce" not in output
