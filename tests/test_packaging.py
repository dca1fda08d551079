"""A wheel and an sdist, built and installed as users do it, without a network."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from syntax_trees import PACKAGES, ROOT

import ldrestore

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BESIDE = (".ci", "docs", "integrations", "samples", "scripts", "tests", "typings")
"""Folders of the checkout that no package holds."""
SINGLE = (
    ".dockerignore",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "pyproject.toml",
)
"""Files at its top."""


def is_built(part):
    """Whether a file or folder comes from running something here."""
    return part == "__pycache__" or (part.startswith(".") and part != ".ci")


def files_below(folder):
    """The files of a folder as the repository has them, relative to it."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not any(map(is_built, path.parts))}


def run(*command, cwd, **environment):
    """Run a command that finds no checkout and no network; return what it prints."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
    offline = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    outcome = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**bare, **offline, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


def built(kind, source, out):
    """Build in a folder, without isolation: with the setuptools that is here."""
    out.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))"
    return out / run(sys.executable, "-c", code, cwd=source).splitlines()[-1]


def library_files():
    """What a wheel must hold of the library."""
    expected = set()
    for package, folder in PACKAGES.items():
        expected |= {f"{package.replace('.', '/')}/{name}" for name in files_below(ROOT / folder)}
    return expected


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout without what was built in it."""
    folder = tmp_path_factory.mktemp("packaging") / "source"
    folder.mkdir()
    for name in (*PACKAGES.values(), *BESIDE):
        shutil.copytree(ROOT / name, folder / name, ignore=lambda _, names: [name for name in names if is_built(name)])
    for name in SINGLE:
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(source):
    return built("wheel", source, source.parent / "out")


@pytest.fixture(scope="module")
def sdist(source, wheel):
    return built("sdist", source, source.parent / "out")


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of a fresh environment with the wheel in it, beside the dependencies that are here."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.EnvBuilder(with_pip=False).create(folder)
    interpreter = next(path for path in folder.glob("*/python*") if path.stem == "python")
    run(sys.executable, "-m", "pip", "--python", interpreter, "install", "--no-deps", wheel, cwd=folder)
    places = run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    borrowed = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    (Path(places) / "zz_borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    return interpreter


def test_the_wheel_holds_every_file_of_the_library(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        header = archive.read(metadata).decode()
        licences = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    assert held == library_files()
    assert {"ldrestore/py.typed", "ldrestore/pipelines/__init__.py", "ldrestore/training/__main__.py"} <= held
    assert any(name.startswith("ldrestore/assets/") and name.endswith(".safetensors") for name in held)
    assert f"\nVersion: {ldrestore.__version__}\n" in header
    assert "\nLicense-Expression: Apache-2.0\n" in header
    assert len(licences) == 1


def test_the_sdist_holds_what_tests_and_documentation_need(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {f"{folder}/{name}" for folder in (*PACKAGES.values(), *BESIDE) for name in files_below(ROOT / folder)}
    assert expected | set(SINGLE) <= names
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def test_a_wheel_of_the_sdist_is_that_of_the_checkout(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = built("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "out")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_an_installed_wheel_knows_and_loads_its_models(python, tmp_path):
    code = (
        "import ldrestore, ldrestore.training, ldrestore.pipelines.pipeline_fast_restore as fast;"
        "from ldrestore import list_models, load_restorer;"
        "assert load_restorer(list_models()[0].name).regressor is not None;"
        "print(ldrestore.__file__, ldrestore.training.__file__, fast.__file__, sep='\\n');"
        "print(*(model.name for model in list_models()))"
    )
    *origins, names = run(python, "-c", code, cwd=tmp_path).splitlines()[-4:]
    assert all(Path(origin).is_relative_to(python.parent.parent) for origin in origins)
    assert names.split() == [model.name for model in ldrestore.list_models()]


def test_an_installed_wheel_holds_every_asset_and_the_command(python, tmp_path):
    package = Path(run(python, "-c", "import ldrestore; print(ldrestore.__path__[0])", cwd=tmp_path))
    assert files_below(package / "assets") == files_below(ROOT / "ldrestore" / "assets")
    command = next(path for path in python.parent.iterdir() if path.stem == "ldrestore")
    looked_at = json.loads(run(command, "doctor", "--json", cwd=tmp_path))
    assert looked_at["healthy"] and "torch" in {finding["topic"] for finding in looked_at["findings"]}
    listed = run(command, "models", cwd=tmp_path, COLUMNS="200")
    assert all(model.name in listed for model in ldrestore.list_models())
