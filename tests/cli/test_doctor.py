import json
import re
import sys
from types import SimpleNamespace

import pytest

from ldrestore.cli import doctor_checks
from ldrestore.cli.doctor_checks import USER_EXTRAS, State, look_at_everything, requirements, versions_of_tests


@pytest.fixture
def versions(monkeypatch):
    """Change what is installed: package to version, or None for missing; all others are the tested ones."""
    changed = {}
    tested = versions_of_tests()
    monkeypatch.setattr(doctor_checks, "_version", lambda name: changed.get(name, tested.get(name, ("9",))[0]))
    return changed


def findings():
    return {finding.topic: finding for finding in look_at_everything()}


def test_a_whole_installation_is_ready(call, versions):
    result = call("doctor")
    assert result.exit_code == 0
    assert "ready: ldrestore restore" in result.stdout and "FAIL" not in result.stdout
    document = json.loads(call("doctor", "--json").stdout)
    assert document["healthy"] is True
    assert {"python", "torch", "cpu", "memory", "disk", "hub", "models"} <= {
        one["topic"] for one in document["findings"]
    }


@pytest.mark.parametrize(
    ("present", "text", "remedy"),
    [
        (None, "not installed", "pip install 'diffusers>="),
        ("0.1", "0.1, older than", "pip install --upgrade 'diffusers>="),
    ],
)
def test_what_every_installation_needs_is_a_problem_where_it_is_missing(call, versions, present, text, remedy):
    versions["diffusers"] = present
    result = call("doctor")
    assert result.exit_code == 1
    assert text in result.stdout and remedy in result.stdout and "1 problems" in result.stdout


def test_other_versions_than_the_tested_ones_are_a_note(versions):
    versions["torch"] = "99.0"
    found = findings()["torch"]
    assert found.state is State.NOTE and re.match(r"99\.0, tested with 2\.", found.text)
    assert "pip install torch==" in found.remedy


def test_a_local_build_of_the_tested_version_is_the_tested_one(versions):
    versions["torch"] = f"{versions_of_tests()['torch'][0]}+cu130"
    assert findings()["torch"].state is State.GOOD


def test_a_missing_extra_is_a_note_that_says_how_to_get_it(versions):
    versions["spandrel"] = None
    found = findings()["extra spandrel"]
    assert (found.state, found.text) == (State.NOTE, "without spandrel")
    assert found.remedy == "pip install 'ldrestore[spandrel]'"


def test_every_extra_for_users_is_one_of_the_project():
    assert set(USER_EXTRAS) <= requirements().keys()


def test_the_offline_switch_is_told(versions, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "offline, by HF_HUB_OFFLINE" in findings()["hub"].text
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert findings()["hub"].text.startswith("https://mirror.example is asked")


def test_little_memory_is_told_with_what_to_do(versions, monkeypatch):
    monkeypatch.setattr(doctor_checks, "free_memory", lambda: 3 * 10**9)
    found = findings()["memory"]
    assert (found.state, found.text, found.remedy) == (State.NOTE, "3.0 GB free", "give restore --memory 1.5")


def test_the_tested_set_names_every_package_that_is_needed():
    assert requirements()[None].keys() <= versions_of_tests().keys()


def test_without_torch_everything_else_is_still_told(versions, monkeypatch) -> None:
    versions["torch"] = None
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    found = findings()
    assert found["torch"].state is found["devices"].state is State.PROBLEM
    assert "torch cannot be loaded" in found["devices"].text and found["devices"].remedy == "reinstall it"
    assert {"memory", "disk", "hub", "models", "extra app"} <= found.keys()


def test_a_package_without_its_weights_is_a_problem(call, versions, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("ldrestore.assets.catalog.folder_of", lambda record: tmp_path)
    result = call("doctor", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1 and document["healthy"] is False
    (models,) = [one for one in document["findings"] if one["topic"] == "models"]
    assert models["state"] == "problem" and "default-fast" in models["text"]
    assert models["remedy"] == "reinstall ldrestore"


def test_every_note_and_problem_but_the_unknown_says_what_to_do(versions, monkeypatch, tmp_path) -> None:
    versions.update(dict.fromkeys(requirements()[None], "0.0.1"))
    versions.update({name: None for extra in USER_EXTRAS for name in requirements()[extra]})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "yes")
    monkeypatch.setattr(doctor_checks, "free_memory", lambda: 10**6)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**6))
    found = findings()
    for topic in ("memory", "disk", "hub", "metrics", "extra app", "extra ray", "torch", "numpy"):
        assert found[topic].state is not State.GOOD
    for finding in found.values():
        assert (finding.remedy is None) == (finding.state is State.GOOD)
    assert found["memory"].remedy == "give restore --memory 0.5"
    assert "XDG_CACHE_HOME" in found["disk"].remedy and str(tmp_path) in found["disk"].text
    assert "unset" in found["hub"].remedy and "TRANSFORMERS_OFFLINE" in found["hub"].text


def test_memory_that_nobody_knows_is_a_note(versions, monkeypatch) -> None:
    monkeypatch.setattr(doctor_checks, "free_memory", lambda: None)
    assert findings()["memory"].text == "unknown on this system"


@pytest.mark.parametrize(
    ("present", "least", "is_older"),
    [
        ("2.10", "2.10.0", False),
        ("2.10.0", "2.10", False),
        ("2.9.9", "2.10", True),
        ("2.10.0rc1", "2.10", False),
        ("2.10.0+cu130", "2.10.0", False),
        ("10", "9.5", False),
        ("1.2.3.post4", "1.2.4", True),
    ],
)
def test_versions_are_compared_by_their_numbers(versions, monkeypatch, present, least, is_older) -> None:
    monkeypatch.setattr(doctor_checks, "requirements", lambda: {None: {"torch": least}})
    versions["torch"] = present
    assert (findings()["torch"].state is State.PROBLEM) is is_older


def test_an_installed_package_tells_its_requirements_without_a_checkout(monkeypatch, tmp_path) -> None:
    lines = [
        "torch>=2.6",
        "Pillow (>=12.3)",
        "opencv_python.headless",
        'gradio>=6.16; extra == "app"',
        "ray[data]>=2.50; extra == 'ray'",
        'ldrestore[metrics]; extra == "test"',
    ]
    monkeypatch.setattr(doctor_checks, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    monkeypatch.setattr(doctor_checks, "requires", lambda name: lines)
    found = requirements()
    assert found[None] == {"torch": "2.6", "pillow": "12.3", "opencv-python-headless": None}
    assert found["app"] == {"gradio": "6.16"} and found["ray"] == {"ray": "2.50"}
    assert not found.get("test")
    monkeypatch.setattr(doctor_checks, "requires", lambda name: None)
    assert requirements() == {None: {}}


@pytest.mark.parametrize("value", ["0", "", "no", "false"])
def test_a_switch_that_is_off_keeps_nobody_from_the_hub(versions, monkeypatch, value) -> None:
    for name in doctor_checks.OFFLINE_SWITCHES:
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert findings()["hub"].text.startswith("https://huggingface.co is asked")
